"""`faces results`: read the catalog."""

import asyncio
import os
import sys
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import DatabaseUrl, Format, Out, load_settings
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
    form: Annotated[Format, typer.Option("--format", help="How to print.")] = Format.TABLE,
) -> None:
    """Read the catalog: which pictures, what was found, what failed and why.

    Example: `faces results -o out --status failed`

    Example, for other programs: `faces results -o out --format coco > faces.json`
    """
    from datetime import UTC

    from shared.catalog import Filter

    filter_ = Filter(
        statuses=tuple(status or ()),
        name=name,
        min_faces=min_faces,
        max_faces=max_faces,
        min_score=min_score,
        max_score=max_score,
        since=since.replace(tzinfo=UTC) if since else None,
        until=until.replace(tzinfo=UTC) if until else None,
        submission=submission,
        recipe=recipe,
    )
    asyncio.run(_print(catalog_url(out, database), filter_, limit, form))


def catalog_url(out: Path | None, database: str | None) -> str:
    """Which catalog to read: the one given, that of OUT, or the environment's.

    Raises:
        FacesError: there is none at that place, and an empty one would only mislead.
    """
    if out is not None and database is None:
        from services.cli.plan import sqlite_url

        file = out / "faces.db"
        if not file.is_file():
            raise FacesError(f"there is no catalog in {out}: {file} is missing")
        return sqlite_url(file)
    if database is None and "FACES_DATABASE_URL" not in os.environ:
        raise FacesError("which catalog? Give -o OUT of a run, or --database URL")
    return load_settings(database_url=database).database_url.get_secret_value()


async def _print(url: str, filter_: "Filter", limit: int | None, form: Format) -> None:
    from services.cli.export import write
    from shared.catalog import Catalog

    catalog = await Catalog.open(url)

    def rows(faces: bool) -> "AsyncIterator[ImageRow]":
        return catalog.results(filter_, limit, faces)

    try:
        await write(form, rows, sys.stdout)
    finally:
        await catalog.close()
