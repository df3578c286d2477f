"""Where what a command asks about is kept: the catalog, the pictures, a submission in it."""

import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from services.cli.options import load_settings
from shared.errors import FacesError

if TYPE_CHECKING:
    from shared.catalog import Catalog
    from shared.objects import Objects

TOKEN = re.compile(r"[0-9a-f]{32}")

SHORT = 12
"""Digits of an id that are shown where space is short; any that are enough to tell are taken."""

LOOKED_AT = 1000
"""The newest submissions, among which the beginning of an id is looked for."""

ObjectsUrl = Annotated[
    str | None,
    typer.Option(
        "--objects", metavar="URL", help="Object store. [env: FACES_OBJECTS_URL, or that of OUT]"
    ),
]
Yes = Annotated[bool, typer.Option("-y", "--yes", help="Do not ask.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Only tell what would be done.")]


def catalog_url(out: Path | None, database: str | None) -> str:
    """Which catalog to read: the one given, that of OUT, or the environment's.

    Raises:
        FacesError: there is none at that place, and an empty one would only mislead.
    """
    if out is not None and database is None:
        from services.cli.local.plan import sqlite_url

        file = out / "faces.db"
        if not file.is_file():
            raise FacesError(f"there is no catalog in {out}: {file} is missing")
        return sqlite_url(file)
    if database is None and "FACES_DATABASE_URL" not in os.environ:
        raise FacesError("which catalog? Give -o OUT of a run, or --database URL")
    return load_settings(database_url=database).database_url.get_secret_value()


@asynccontextmanager
async def opened_catalog(out: Path | None, database: str | None) -> AsyncIterator["Catalog"]:
    """The catalog of `catalog_url`, closed when the block ends."""
    from shared.catalog import Catalog

    catalog = await Catalog.open(catalog_url(out, database))
    try:
        yield catalog
    finally:
        await catalog.close()


def open_objects(out: Path | None, objects: str | None) -> "Objects":
    """The object store: the one given, the environment's, or that of OUT, as for `faces run`.

    Raises:
        FacesError: none of these is given. The default of the services is a folder below the
            working directory, which is not to be guessed at where things get deleted.
    """
    from shared.objects import Objects

    url = objects or os.environ.get("FACES_OBJECTS_URL")
    if url is None and out is not None:
        url = (out.absolute() / "objects").as_uri()
    if url is None:
        raise FacesError("where are the pictures? Give -o OUT of a run, or --objects URL")
    return Objects.open(url)


async def whole_id(catalog: "Catalog", submission: str) -> str:
    """The id of a submission, of which the beginning is enough.

    Raises:
        FacesError: there is none, or more than one that begins like this.
    """
    if TOKEN.fullmatch(submission):
        return submission
    newest = await catalog.reader.submissions(limit=LOOKED_AT)
    found = [one.id for one in newest if submission and one.id.startswith(submission)]
    if len(found) == 1:
        return found[0]
    if found:
        raise FacesError(f"{len(found)} submissions begin with {submission}: give more of the id")
    raise FacesError(f"the catalog knows no submission {submission}; see `faces status`")


def confirm(question: str, *, yes: bool) -> None:
    """Ask before something is deleted for good; whoever says no leaves with status 2.

    Raises:
        FacesError: there is nobody to ask.
    """
    if yes:
        return
    if not sys.stdin.isatty():
        raise FacesError(f"{question} Nobody can be asked here: give --yes, or --dry-run to look")
    if not typer.confirm(question, err=True):
        raise FacesError("nothing was done")
