"""`faces results`: read the catalog."""

import asyncio
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.deployment import Deployment, Place, deployment, whole_id
from services.cli.formats.registry import FORMATS, RAW, Format, Writer
from services.cli.options.common import (
    Beside,
    DatabaseUrl,
    Embed,
    History,
    Out,
    Sidecars,
    Submission,
    Where,
    check_beside,
    one_of,
)
from services.cli.options.filters import (
    Because,
    Camera,
    Cut,
    KindOf,
    Taken,
    number_range,
    reason_code,
    taken_range,
)
from services.cli.talk import say
from shared.errors import Exit, FacesError
from shared.messages import Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.catalog import Filter, ImageRow


def command(
    out: Out = None,
    database: DatabaseUrl = None,
    status: Annotated[
        list[Status] | None,
        typer.Option(help="Only with this status; may be given more than once."),
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="PATTERN", help="Only names like this; * also stands for /."),
    ] = None,
    number: Annotated[
        str,
        typer.Option("--faces", metavar="MIN..MAX", help="Number of faces: 3, 3.., ..3 or 1..3."),
    ] = "",
    min_faces: Annotated[int | None, typer.Option(min=0, help="At least this many faces.")] = None,
    max_faces: Annotated[int | None, typer.Option(min=0, help="At most this many faces.")] = None,
    min_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="With a face of at least this score.")
    ] = None,
    max_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="With a face of at most this score.")
    ] = None,
    taken: Taken = "",
    camera: Camera = None,
    kind: KindOf = None,
    reason: Because = None,
    cut: Cut = False,
    since: Annotated[datetime | None, typer.Option(help="Committed then or later (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Committed before then (UTC).")] = None,
    submission: Submission = None,
    recipe: Annotated[
        str | None, typer.Option(metavar="ID", help="Only what this recipe made.")
    ] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="Show at most this many images.")] = None,
    after: Annotated[
        int,
        typer.Option(
            min=0, metavar="KEY", help="Show the next page: the key that the last page ended with."
        ),
    ] = 0,
    form: Annotated[
        str,
        typer.Option(
            "--format",
            metavar="|".join(FORMATS),
            callback=one_of(FORMATS),
            help="How to print them.",
        ),
    ] = "table",
    raw: Annotated[
        bool,
        typer.Option(
            "--raw",
            help="CSV: names as they are, also those that a spreadsheet takes for a formula.",
        ),
    ] = False,
    history: History = False,
    sidecar: Sidecars = None,
    beside: Beside = Where.ANNOTATED,
    embed: Embed = False,
) -> None:
    """Read the catalog: which pictures there are, what was found, what failed and why.

    A picture is shown once: in the version that was named last, under the recipe that was used
    last. `--history` shows all its entries, `--recipe` those of one recipe, and `--submission` what
    that submission named, then or now.

    Example: `faces results -o out --status failed`

    Example, for other programs: `faces results -o out --format coco > faces.json`

    Example, by date and camera: `faces results -o out --taken 2019-01..2019-06 --camera 'canon*'`

    Example, in pages: `faces results -o out --faces 3.. --limit 100 --after 1700`
    """
    from datetime import UTC

    from shared.catalog import Filter

    least, most = number_range(number)
    taken_since, taken_until = taken_range(taken)
    filter_ = Filter(
        statuses=tuple(status or ()),
        name=name,
        min_faces=least if min_faces is None else min_faces,
        max_faces=most if max_faces is None else max_faces,
        min_score=min_score,
        max_score=max_score,
        since=since.replace(tzinfo=UTC) if since else None,
        until=until.replace(tzinfo=UTC) if until else None,
        submission=submission,
        recipe=recipe,
        taken_since=taken_since,
        taken_until=taken_until,
        camera=camera,
        kind=kind,
        code=reason_code(reason),
        current=not history and submission is None,
        cut=cut,
    )
    if raw and form not in RAW:
        raise FacesError(f"--raw is for --format {' or '.join(RAW)}")
    place = Place(out=out, database=database)
    check_beside(beside, sidecar, embed=embed)
    if sidecar:
        if out is None:
            raise FacesError("--sidecar writes beside pictures of a `faces run`: give -o OUT")
        if not asyncio.run(_write_sidecars(place, filter_, sidecar, beside, embed=embed)):
            raise typer.Exit(Exit.SOME_FAILED)
        return
    asyncio.run(_print(place, filter_, limit, after, (RAW if raw else FORMATS)[form]))


async def _print(
    place: Place, filter_: "Filter", limit: int | None, after: int, form: "Format[Writer]"
) -> None:
    from services.cli.formats.within import within

    async with deployment(place) as opened:
        catalog = await opened.catalog()
        filter_ = await _of_whole_submission(opened, filter_)
        last = after

        async def rows(faces: bool) -> "AsyncIterator[ImageRow]":
            nonlocal last
            async for row in catalog.reader.results(filter_, limit, faces, after):
                last = row.cursor
                yield opened.here(row)

        await form.load()(within(rows), sys.stdout)
        if limit is not None and await catalog.reader.page(filter_, last, 1, faces=False):
            sys.stdout.flush()
            say(f"there are more: the same with --after {last}")


async def _write_sidecars(
    place: Place, filter_: "Filter", forms: Sequence[str], where: Where, *, embed: bool
) -> bool:
    """Whether all could be written."""
    from services.cli.outdir.beside import write_beside
    from services.cli.outdir.sidecars import check_tree, write_sidecars

    assert place.out is not None
    check_tree(place.out)
    async with deployment(place) as opened:
        opened.hold()
        filter_ = await _of_whole_submission(opened, filter_)
        catalog = await opened.catalog()
        if where is Where.ANNOTATED:
            return await write_sidecars(place.out, catalog, filter_, forms)
        report = await write_beside(place.out, catalog, filter_, embed=embed)
        for line in report.lines():
            say(line)
        return True


async def _of_whole_submission(opened: Deployment, filter_: "Filter") -> "Filter":
    if filter_.submission is None:
        return filter_
    return replace(filter_, submission=await whole_id(await opened.catalog(), filter_.submission))
