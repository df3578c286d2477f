"""`faces show NAME`: one picture's history, under each recipe and in each version."""

import asyncio
import json
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import AsJson, DatabaseUrl, Out
from shared.errors import FacesError

if TYPE_CHECKING:
    from shared.catalog import ImageRow
    from shared.recipe import Recipe


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A picture's whole name, or its id.")],
    out: Out = None,
    database: DatabaseUrl = None,
    recipe: Annotated[str | None, typer.Option(help="Only what this recipe made.")] = None,
    as_json: AsJson = False,
) -> None:
    """Show one picture's history: when it was queued, searched and committed, by whom and how.

    A picture has an entry for each recipe, and for each version of its file. What came before a
    redo is replaced by it.

    Example: `faces show trip/moon.png -o out`
    """
    asyncio.run(_show(name, out, database, recipe, as_json=as_json))


async def _show(
    name: str, out: Path | None, database: str | None, recipe: str | None, *, as_json: bool
) -> None:
    from services.cli.formats.export import as_dict
    from services.cli.places import opened_catalog

    async with opened_catalog(out, database) as catalog:
        rows = await catalog.reader.show(name, recipe)
        recipes = {id_: await catalog.reader.recipe(id_) for id_ in {row.recipe for row in rows}}
    if not rows:
        pattern = name if any(letter in name for letter in "*?[") else f"*{name}*"
        raise FacesError(
            f"the catalog has no picture {name!r}; look for it with: "
            f"faces results --name {pattern!r}"
        )
    if as_json:
        told = [as_dict(row) | {"parameters": _parameters(recipes[row.recipe])} for row in rows]
        print(json.dumps(told, indent=2))
        return
    for n, row in enumerate(rows):
        print("\n" * (n > 0) + _told(row, recipes[row.recipe]))


def _parameters(recipe: "Recipe") -> dict[str, object]:
    return recipe.model_dump(mode="json")


def _told(row: "ImageRow", recipe: "Recipe") -> str:
    """The history of one row, a line a fact, in the order of events."""
    from shared.messages import Status
    from shared.printing import printable

    changed = recipe.model_dump(mode="json", exclude_defaults=True)
    parameters = ", ".join(
        f"{name}={value}"
        for name, value in changed.items()
        if name not in ("model", "model_version")
    )
    times = {1: "", 2: " (done again once)"}
    again = times.get(row.generation, f" (done again {row.generation - 1} times)")
    lines = [
        ("id", row.id),
        ("source", row.source_uri or "sent along with its bytes"),
        ("model", f"{recipe.model} {recipe.model_version}"),
        ("recipe", row.recipe + (f" ({parameters})" if parameters else "")),
        ("submission", row.submission_id),
        ("queued", _time(row.queued_at) + again),
    ]
    if row.status is not Status.QUEUED:
        took = f" in {row.detect_ms:.0f} ms" if row.detect_ms is not None else ""
        by = f" by {row.consumer}" if row.consumer else ""
        lines += [
            ("detected", _time(row.detected_at) + took + by),
            ("committed", _time(row.committed_at)),
            ("attempts", str(row.attempts)),
        ]
    lines.append(("status", row.status.value))
    if row.reason:
        lines.append(("reason", row.reason))
    if row.width and row.height:
        size = f", {row.bytes:,} bytes" if row.bytes is not None else ""
        lines.append(("picture", f"{row.format} {row.width} x {row.height}{size}"))
    lines += [
        (f"face {n}", f"{face.w:.0f} x {face.h:.0f} at {face.x:.0f}, {face.y:.0f}; {face.score}")
        for n, face in enumerate(row.faces, 1)
    ]
    if row.annotated_uri:
        lines.append(("annotated", row.annotated_uri))
    facts = [f"  {what + ':':<12}{printable(value)}" for what, value in lines]
    return "\n".join([printable(row.name), *facts])


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "never"
