"""`faces forget`: deleting all that is kept of pictures that somebody asked to be gone."""

import asyncio
import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, NamedTuple

from services.cli.deployment import Deployment, Place, deployment, whole_id
from services.cli.options.common import (
    DatabaseUrl,
    DryRun,
    ObjectsUrl,
    Out,
    Pattern,
    RedisUrl,
    Submission,
    Yes,
)
from services.cli.options.filters import by_name_or_id
from services.cli.talk import confirm, say
from shared.errors import FacesError
from shared.printing import count, printable

if TYPE_CHECKING:
    from services.cli.outdir.record import Record
    from shared.catalog import Catalog, Filter
    from shared.stores.objects import Objects

SHOWN = 10
"""Names that are shown before somebody is asked."""


def command(
    pattern: Annotated[str, Pattern],
    submission: Submission = None,
    out: Out = None,
    redis: RedisUrl = None,
    database: DatabaseUrl = None,
    objects: ObjectsUrl = None,
    yes: Yes = False,
    dry_run: DryRun = False,
) -> None:
    """Delete all that is kept of some pictures: rows, faces, annotated pictures, crops, sidecars.

    A picture has an entry for each recipe and version; all that match are deleted. Originals are
    not deleted; our regions go from them and from sidecars beside them, but for those that somebody
    gave a name, and a picture that is submitted again is searched again. If it is interrupted, the
    same command deletes the rest. With `-o OUT` no file below OUT holds their names after it; the
    queue of OUT begins anew, without its dead letters. Of a deployment, with `--redis URL` or
    FACES_REDIS_URL, their dead letters are dropped; those of pictures that were sent along together
    stay, see `faces dead drop`.

    Example: `faces forget '*/anna-*' -o out --dry-run`

    Example: `faces forget '*/anna-*' --objects s3://bucket/faces
    --database postgresql://faces@10.0.0.6/faces`
    """
    place = Place(out=out, redis=redis, database=database, objects=objects)
    asyncio.run(_forget(place, by_name_or_id(pattern), submission, yes=yes, dry_run=dry_run))


async def _forget(
    place: Place, filter_: "Filter", submission: str | None, *, yes: bool, dry_run: bool
) -> None:
    async with deployment(place) as opened:
        catalog = await opened.catalog()
        if submission is not None:
            filter_ = replace(filter_, submission=await whole_id(catalog, submission))
        objects = opened.objects()
        if not dry_run:
            opened.hold()
        number = await _show(catalog, objects, filter_, all_=dry_run)
        entries = count(number, "entry", "entries")
        if dry_run:
            print(f"{entries} would be forgotten")
            return
        if number:
            confirm(f"Forget {entries} for good?", yes=yes)
        done = await forget_entries(opened, filter_)
    told = f", {count(done.files, 'file')} in {place.out}/annotated deleted" if done.files else ""
    print(f"{count(done.entries, 'entry', 'entries')} forgotten{told}")


class Done(NamedTuple):
    """How many entries were forgotten, and files in OUT/annotated deleted."""

    entries: int
    files: int


async def forget_entries(opened: Deployment, filter_: "Filter") -> Done:
    """Forget the entries of a filter, in OUT without a trace; who calls holds OUT's lock.

    Raises:
        Unreachable: the database or the store does not answer; the same again does the rest.
    """
    from shared.verbs.forget import forget

    out, catalog, files = opened.place.out, await opened.catalog(), 0
    if opened.place.redis or (out is None and "FACES_REDIS_URL" in os.environ):
        await _forget_letters(opened, filter_)
    if out is not None:
        _forget_queue(out)
        files = await _forget_in_tree(out, catalog, filter_)
    entries = 0
    async for _ in forget(catalog, opened.objects(), filter_):
        entries += 1
    if out is not None:
        await catalog.leave_no_trace()
    return Done(entries, files)


async def _show(catalog: "Catalog", objects: "Objects", filter_: "Filter", *, all_: bool) -> int:
    """Show what would be forgotten: the first few on standard error, or `all_` as output.

    Returns how many entries these are.

    Raises:
        FacesError: the pictures are kept elsewhere than in `objects`, where they would stay.
    """
    from shared.verbs.store_check import StoreCheck

    number = 0
    check = StoreCheck(objects)
    async for row in catalog.reader.results(filter_, faces=False):
        number += 1
        told = f"{printable(row.name)}  ({row.recipe})"
        if all_:
            print(told)
        elif number <= SHOWN:
            say(f"  {told}")
        if other := await check.elsewhere(row):
            raise FacesError(
                f"{row.name}: its picture is kept in {other}, not in {objects.place}: "
                f"give --objects {other}; nothing was forgotten"
            )
    if number > SHOWN and not all_:
        say(f"  ... and {number - SHOWN:,} more")
    return number


async def _forget_letters(opened: Deployment, filter_: "Filter") -> None:
    """Drop the dead letters of a deployment's pictures, and say how many."""
    from shared.streams.dead import DeadLetters
    from shared.verbs.forget import forget_letters

    letters = DeadLetters(await opened.redis(), opened.settings)
    if dropped := await forget_letters(await opened.catalog(), letters, filter_):
        say(f"{count(dropped, 'dead letter')} dropped")


def _forget_queue(out: Path) -> None:
    """Delete what runs left in the files of OUT's private server: they name every picture."""
    from services.cli.local.embedded import EmbeddedValkey
    from services.cli.outdir.private import PRIVATE

    EmbeddedValkey(out / PRIVATE).begin_anew()


async def _forget_in_tree(out: Path, catalog: "Catalog", filter_: "Filter") -> int:
    """Delete what lies in OUT/annotated, before the rows that say what that is; how many files."""
    from services.cli.outdir.record import Record
    from services.cli.outdir.tree import forget_result
    from shared.picture_keys import PictureKeys

    file = Record.file(out)
    if not file.is_file():
        return 0
    removed = 0
    with Record.open(file) as record:
        async for row in catalog.reader.results(filter_, faces=False):
            for key in PictureKeys(row.recipe, row.id).all_annotated:
                removed += forget_result(out / "annotated", record, key)
            if row.source_uri is not None:
                if row.current:
                    _forget_beside(record, row.source_uri)
                record.forget_source(row.source_uri)
        record.leave_no_trace()
    return removed


def _forget_beside(record: "Record", source: str) -> None:
    """Take our regions out of the sidecar beside an original, or say that they stay."""
    from services.cli.outdir.beside import forget_beside

    try:
        forget_beside(record, source)
    except OSError as error:
        say(f"our regions stay beside {printable(source)}: {error.strerror or error}")
