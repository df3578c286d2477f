"""`faces show NAME`: one picture's history, under each recipe and in each version."""

import asyncio
import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.deployment import Place, deployment
from services.cli.options.common import AsJson, DatabaseUrl, Out
from shared.errors import FacesError
from shared.printing import count, printable

if TYPE_CHECKING:
    from shared.catalog import ImageRow
    from shared.recipe import Recipe


def command(
    name: Annotated[str, typer.Argument(metavar="NAME", help="A picture's whole name, or its id.")],
    out: Out = None,
    database: DatabaseUrl = None,
    recipe: Annotated[
        str | None, typer.Option(metavar="ID", help="Only what this recipe made.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Show one picture's history: when it was queued, searched and committed, by which process.

    A picture has an entry for each recipe, and for each version of its file. A redo replaces the
    entry that it repeats.

    Example: `faces show trip/moon.png -o out`
    """
    asyncio.run(_show(name, Place(out=out, database=database), recipe, as_json=as_json))


async def _show(name: str, place: Place, recipe: str | None, *, as_json: bool) -> None:
    from services.cli.formats.columns import as_dict
    from services.cli.formats.within import row_within

    async with deployment(place) as opened:
        catalog = await opened.catalog()
        rows = [row_within(opened.here(row)) for row in await catalog.reader.show(name, recipe)]
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
    facts = [*_origin(row, recipe), *_course(row), *_content(row)]
    lines = [f"  {what + ':':<12}{printable(value)}" for what, value in facts]
    return "\n".join([printable(row.name), *lines])


def _origin(row: "ImageRow", recipe: "Recipe") -> list[tuple[str, str]]:
    changed = recipe.model_dump(mode="json", exclude_defaults=True)
    parameters = ", ".join(
        f"{name}={value}"
        for name, value in changed.items()
        if name not in ("model", "model_version")
    )
    return [
        ("id", row.id),
        ("source", row.source_uri or "sent along with its bytes"),
        ("model", f"{recipe.model} {recipe.model_version}"),
        ("recipe", row.recipe + (f" ({parameters})" if parameters else "")),
        ("submission", row.submission_id),
    ]


def _course(row: "ImageRow") -> list[tuple[str, str]]:
    from shared.messages import Status

    times = {1: "", 2: " (done again once)"}
    again = times.get(row.generation, f" (done again {row.generation - 1} times)")
    facts = [("queued", _time(row.queued_at) + again)]
    if row.status is not Status.QUEUED:
        took = f" in {row.detect_ms:.0f} ms" if row.detect_ms is not None else ""
        by = f" by {row.consumer}" if row.consumer else ""
        facts += [
            ("detected", _time(row.detected_at) + took + by),
            ("committed", _time(row.committed_at)),
            ("attempts", str(row.attempts)),
        ]
    older = "" if row.current else " (older: not in results without --history)"
    facts.append(("status", row.status.value + older))
    if row.reason:
        facts.append(("reason", row.reason + (f" ({row.code})" if row.code else "")))
    return facts


def _content(row: "ImageRow") -> list[tuple[str, str]]:
    from services.cli.formats.columns import cut_told, page_of, pages_told

    facts = []
    if row.width and row.height:
        size = f", {count(row.bytes, 'byte')}" if row.bytes is not None else ""
        facts.append(("picture", f"{row.format} {row.width} x {row.height}{size}"))
    if cut := cut_told(row):
        facts.append(("searched", f"as far as it goes; {cut}"))
    if pages := pages_told(row):
        facts.append(("pages", pages))
    facts += [(f"page {page.n}", page.reason) for page in row.searched if page.reason]
    facts += [
        (what, value) for what, value in (("taken", row.taken_at), ("camera", row.camera)) if value
    ]
    for n, face in enumerate(row.faces, 1):
        box = f"{face.w:.0f} x {face.h:.0f} at {face.x:.0f}, {face.y:.0f}; {face.score}"
        facts.append((f"face {n}", _with(box, page_of(row, face.page))))
    if row.annotated_uri:
        facts.append(("annotated", _with(row.annotated_uri, page_of(row, row.annotated_page))))
    return facts


def _with(value: str, page: str) -> str:
    return f"{value}; {page}" if page else value


def _time(moment: datetime | None) -> str:
    return f"{moment:%Y-%m-%d %H:%M:%S} UTC" if moment else "never"
