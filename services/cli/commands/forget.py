"""`faces forget` and `faces sweep`: deleting pictures people asked to be gone, and leftovers."""

import asyncio
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import DatabaseUrl, Out
from services.cli.places import (
    TOKEN,
    DryRun,
    ObjectsUrl,
    Yes,
    confirm,
    open_objects,
    opened_catalog,
    whole_id,
)
from shared.errors import FacesError
from shared.printing import printable

if TYPE_CHECKING:
    from shared.catalog import Catalog, Filter
    from shared.objects import Objects

SHOWN = 10
"""Names that are shown before somebody is asked."""

LOOKED_AT = 1000
"""Pictures looked at for one that says which store is the catalog's."""


def command(
    pattern: Annotated[
        str,
        typer.Argument(metavar="PATTERN", help="Names as in a shell (* also matches /), or an id."),
    ],
    submission: Annotated[str | None, typer.Option(help="Only if named by this one.")] = None,
    out: Out = None,
    database: DatabaseUrl = None,
    objects: ObjectsUrl = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Delete all that is kept of some pictures: rows, faces, annotated pictures, sidecars.

    A picture has an entry for each recipe; all that match are deleted. Originals are not touched,
    and naming one again searches it again. Doing it again deletes what an interrupted one left.
    Dead letters keep bytes of pictures that were sent along: see `faces dead drop`.

    Example: `faces forget '*/anna-*' -o out --dry-run`

    Example: `faces forget '*/anna-*' --objects s3://bucket/faces
    --database postgresql://faces@10.0.0.6/faces`
    """
    asyncio.run(_forget(pattern, submission, (out, database, objects), yes=yes, dry_run=dry_run))


def sweep(
    out: Out = None,
    database: DatabaseUrl = None,
    objects: ObjectsUrl = None,
    older_than: Annotated[
        float, typer.Option(min=0, metavar="HOURS", help="Leave what is younger than this.")
    ] = 1.0,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Delete pictures in the object store that no row of the catalog names.

    Crashes can leave such. Only names of this program's form are ever touched. One store belongs
    to one catalog; one whose pictures are elsewhere, or that names none, is refused.

    Example: `faces sweep -o out --dry-run`
    """
    age = timedelta(hours=older_than)
    asyncio.run(_sweep((out, database, objects), age, yes=yes, dry_run=dry_run))


async def _forget(
    pattern: str,
    submission: str | None,
    place: tuple[Path | None, str | None, str | None],
    *,
    yes: bool,
    dry_run: bool,
) -> None:
    from shared.catalog import Filter
    from shared.housekeeping import forget

    out, database, url = place
    filter_ = Filter(image=pattern) if TOKEN.fullmatch(pattern) else Filter(name=pattern)
    async with AsyncExitStack() as opened:
        catalog = await opened.enter_async_context(opened_catalog(out, database))
        if submission is not None:
            filter_ = replace(filter_, submission=await whole_id(catalog, submission))
        objects = open_objects(out, url)
        if out is not None and not dry_run:
            from services.cli.outdir.lock import hold

            opened.enter_context(hold(out, _say))
        number = await _look(catalog, objects, filter_, everything=dry_run)
        if dry_run:
            print(f"{number:,} entries would be forgotten")
            return
        if number:
            confirm(f"Forget these {number:,} entries for good?", yes=yes)
        files = await _forget_placed(out, catalog, filter_) if out is not None else 0
        done = 0
        async for _ in forget(catalog, objects, filter_):
            done += 1
    links = f", {files:,} files in {out}/annotated deleted" if files else ""
    print(f"{done:,} entries forgotten{links}")


async def _look(
    catalog: "Catalog", objects: "Objects", filter_: "Filter", *, everything: bool
) -> int:
    """Show what would be forgotten, on standard error or (all of it) as output; how many.

    Raises:
        FacesError: the pictures are kept elsewhere than in `objects`, where they would stay.
    """
    number = 0
    known: set[str] = {objects.place}
    async for row in catalog.reader.results(filter_, faces=False):
        number += 1
        told = f"{printable(row.name)}  ({row.recipe})"
        if everything:
            print(told)
        elif number <= SHOWN:
            _say(f"  {told}")
        key = f"{row.recipe}/{row.id}.jpg"
        place = (row.annotated_uri or "").removesuffix(f"/{key}")
        if row.annotated_uri is None or place in known:
            continue
        if not await objects.exists(key):  # else the folder was only moved
            raise FacesError(
                f"{printable(row.name)}: its picture is kept in {place}, not in {objects.place}: "
                f"give --objects {place}; nothing was forgotten"
            )
        known.add(place)
    if number > SHOWN and not everything:
        _say(f"  ... and {number - SHOWN:,} more")
    return number


async def _forget_placed(out: Path, catalog: "Catalog", filter_: "Filter") -> int:
    """Delete what lies in OUT/annotated, before the rows that say what that is."""
    from services.cli.outdir.placed import Placed

    if not (out / ".faces" / "layout.db").is_file():
        return 0
    removed = 0
    with Placed(out) as placed:
        async for row in catalog.reader.results(filter_, faces=False):
            removed += placed.forget([f"{row.recipe}/{row.id}.jpg"])
    return removed


async def _sweep(
    place: tuple[Path | None, str | None, str | None],
    age: timedelta,
    *,
    yes: bool,
    dry_run: bool,
) -> None:
    from shared.housekeeping import sweep

    out, database, url = place
    async with opened_catalog(out, database) as catalog:
        objects = open_objects(out, url)
        await _belongs(catalog, objects)
        found = 0
        async for key in sweep(catalog, objects, age, dry_run=True):
            found += 1
            if dry_run:
                print(key)
        if dry_run or not found:
            print(f"{found:,} objects that no row names")
            return
        confirm(f"Delete {found:,} objects in {objects.place} that no row names?", yes=yes)
        done = 0
        async for _ in sweep(catalog, objects, age):
            done += 1
    print(f"{done:,} objects deleted")


async def _belongs(catalog: "Catalog", objects: "Objects") -> None:
    """See that the catalog's pictures are in this store: with another's, all would be swept.

    Raises:
        FacesError: they are not, or it names none, as one does that was lost and made anew.
    """
    from shared.catalog import Filter
    from shared.messages import Status

    async for row in catalog.reader.results(
        Filter(statuses=(Status.FACES,)), LOOKED_AT, faces=False
    ):
        if row.annotated_uri is None:
            continue
        key = f"{row.recipe}/{row.id}.jpg"
        place = row.annotated_uri.removesuffix(f"/{key}")
        if place == objects.place or await objects.exists(key):
            return
        raise FacesError(
            f"the catalog's pictures are kept in {place}, not in {objects.place}: "
            f"give --objects {place}; nothing was deleted"
        )
    raise FacesError(
        f"the catalog names no picture at all, so it does not say what in {objects.place} is left "
        "over; is it the right catalog? Nothing was deleted"
    )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
