"""`faces results`: read the catalog."""

import asyncio
import re
import sys
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import DatabaseUrl, Format, Out, Sidecars
from shared.errors import FacesError
from shared.messages import Status

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from shared.catalog import Filter, ImageRow


def command(
    out: Out = None,
    database: DatabaseUrl = None,
    status: Annotated[
        list[Status] | None, typer.Option(help="Only these; may be given more than once.")
    ] = None,
    name: Annotated[
        str | None,
        typer.Option(metavar="GLOB", help="Only names that match; * also matches /."),
    ] = None,
    number: Annotated[
        str, typer.Option("--faces", metavar="MIN..MAX", help="So many faces: 3, 3.., ..3 or 1..3.")
    ] = "",
    min_faces: Annotated[int | None, typer.Option(min=0, help="At least so many faces.")] = None,
    max_faces: Annotated[int | None, typer.Option(min=0, help="At most so many faces.")] = None,
    min_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="With a face at least that certain.")
    ] = None,
    max_score: Annotated[
        float | None, typer.Option(min=0, max=1, help="With a face at most that certain.")
    ] = None,
    since: Annotated[datetime | None, typer.Option(help="Committed then or later (UTC).")] = None,
    until: Annotated[datetime | None, typer.Option(help="Committed before then (UTC).")] = None,
    submission: Annotated[str | None, typer.Option(help="Named by this submission.")] = None,
    recipe: Annotated[str | None, typer.Option(help="Made by this recipe.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many images.")] = None,
    after: Annotated[
        int,
        typer.Option(min=0, metavar="KEY", help="The next page: as told at the end of the last."),
    ] = 0,
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
    sidecar: Sidecars = None,
) -> None:
    """Read the catalog: which pictures, what was found, what failed and why.

    Example: `faces results -o out --status failed`

    Example, for other programs: `faces results -o out --format coco > faces.json`

    Example, in pages: `faces results -o out --faces 3.. --limit 100 --after 1700`
    """
    from datetime import UTC

    from shared.catalog import Filter

    least, most = _range(number)
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
    )
    if sidecar:
        from services.cli.outdir.sidecars import of_results

        if out is None:
            raise FacesError("--sidecar writes beside the pictures in OUT/annotated: give -o OUT")
        asyncio.run(of_results(out, database, filter_, sidecar))
        return
    asyncio.run(_print(out, database, filter_, limit, after, form))


def _range(text: str) -> tuple[int | None, int | None]:
    """Least and most of `3`, `3..`, `..3` and `1..3`."""
    found = re.fullmatch(r"(\d*)(\.\.)?(\d*)", text)
    if found is None:
        raise FacesError(f"--faces {text!r}: write 3, 3.., ..3 or 1..3")
    first, between, last = found.groups()
    least = int(first) if first else None
    return least, (int(last) if last else None) if between else least


async def _print(
    out: Path | None,
    database: str | None,
    filter_: "Filter",
    limit: int | None,
    after: int,
    form: Format,
) -> None:
    from services.cli.formats.export import write
    from services.cli.places import opened_catalog, whole_id

    async with AsyncExitStack() as opened:
        catalog = await opened.enter_async_context(opened_catalog(out, database))
        if filter_.submission is not None:
            filter_ = replace(filter_, submission=await whole_id(catalog, filter_.submission))
        last = after

        async def rows(faces: bool) -> "AsyncIterator[ImageRow]":
            nonlocal last
            async for row in catalog.reader.results(filter_, limit, faces, after):
                last = row.cursor
                yield row

        await write(form, rows, sys.stdout)
        if limit is not None and await catalog.reader.page(filter_, last, 1, faces=False):
            sys.stdout.flush()
            print(f"there are more: the same with --after {last}", file=sys.stderr)
