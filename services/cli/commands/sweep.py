"""`faces sweep`: deleting objects that crashes left in the store and no row names."""

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from services.cli.deployment import Place, deployment
from services.cli.options.common import DatabaseUrl, DryRun, ObjectsUrl, Out, Yes
from services.cli.talk import confirm
from shared.printing import count


def command(
    out: Out = None,
    database: DatabaseUrl = None,
    objects: ObjectsUrl = None,
    older_than: Annotated[
        float, typer.Option(min=0, metavar="HOURS", help="Leave what is younger than this.")
    ] = 1.0,
    showing_faces: Annotated[
        bool,
        typer.Option(
            "--showing-faces",
            help="Forget instead what was made by recipes whose pictures or crops show faces; "
            "their entries go, too.",
        ),
    ] = False,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Delete annotated pictures and crops in the object store that no row of the catalog names.

    Crashes can leave such. What lies in OUT/annotated of them goes too. Objects whose names are not
    of this program's form are never touched. A store belongs to one catalog: with a catalog whose
    pictures are elsewhere, or that names none, nothing is deleted.

    Example: `faces sweep -o out --dry-run`

    Example, where faces are hidden by now: `faces sweep -o out --showing-faces --dry-run`
    """
    place = Place(out=out, database=database, objects=objects)
    if showing_faces:
        asyncio.run(_sweep_showing(place, yes=yes, dry_run=dry_run))
        return
    asyncio.run(_sweep(place, timedelta(hours=older_than), yes=yes, dry_run=dry_run))


async def _sweep(place: Place, age: timedelta, *, yes: bool, dry_run: bool) -> None:
    from shared.verbs.sweep import check_store, sweep

    async with deployment(place) as opened:
        catalog = await opened.catalog()
        objects = opened.objects()
        await check_store(catalog, objects)
        found = 0
        async for key in sweep(catalog, objects, age, dry_run=True):
            found += 1
            if dry_run:
                print(key)
        if dry_run or not found:
            print(f"{count(found, 'object')} without a row")
            return
        confirm(f"Delete {count(found, 'object')} in {objects.place} without a row?", yes=yes)
        opened.hold()
        await _sweep_tree(place.out, sweep(catalog, objects, age, dry_run=True))
        done = 0
        async for _ in sweep(catalog, objects, age):
            done += 1
    print(f"{count(done, 'object')} deleted")


async def _sweep_showing(place: Place, *, yes: bool, dry_run: bool) -> None:
    """Forget the entries of all recipes whose pictures show faces, and all that was made of them.

    An entry without its picture would keep a later run of its recipe from making it.
    """
    from services.cli.commands.forget import forget_entries
    from shared.verbs.showing import pictures_of, showing

    async with deployment(place) as opened:
        recipes = await showing(await opened.catalog())
        for recipe, number in recipes.items():
            print(f"{count(number, 'picture')} by {recipe}")
        if dry_run or not recipes:
            print(f"{count(sum(recipes.values()), 'picture')} that show faces")
            return
        confirm(f"Delete {count(sum(recipes.values()), 'picture')} that show faces?", yes=yes)
        opened.hold()
        done = 0
        for recipe in recipes:
            done += (await forget_entries(opened, pictures_of(recipe))).entries
    print(f"{count(done, 'entry', 'entries')} forgotten")


async def _sweep_tree(out: Path | None, keys: AsyncIterator[str]) -> None:
    """Delete what was made of these objects in OUT/annotated, before they are gone themselves."""
    from services.cli.outdir.record import Record
    from services.cli.outdir.tree import forget_result

    if out is None or not Record.file(out).is_file():
        return
    with Record.open(Record.file(out)) as record:
        async for key in keys:
            forget_result(out / "annotated", record, key)
