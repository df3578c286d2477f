"""What a command works on: a deployment's settings, Redis, catalog and store, each when needed.

A deployment is a run's output folder (`-o OUT`), or what the URLs on the command line and in the
environment name.
"""

import os
import re
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from services.cli.outdir.lock import hold
from services.cli.outdir.private import check_catalog
from services.cli.talk import say
from shared.errors import FacesError
from shared.urls import sqlite_url

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from services.cli.outdir.moved import Moved
    from shared.catalog import Catalog, ImageRow
    from shared.settings import Settings
    from shared.stores.objects import Objects
    from shared.streams.producer import Producer

WHOLE_ID = re.compile(r"[0-9a-f]{32}")
"""The id of a picture or of a submission."""

SHORT_ID = 12
"""Digits of an id that are shown where space is short."""

LOOKED_AT = 1000
"""The newest submissions, among which the beginning of an id is looked for."""


FLAGS = {
    "redis_url": "--redis",
    "database_url": "--database",
    "objects_url": "--objects",
    "slots": "--slots",
}
"""The options that stand for settings."""


def load_settings(**overrides: object) -> "Settings":
    """Settings from the environment, with what the command line gives on top.

    Raises:
        SettingsError: a value cannot be used.
    """
    from shared.settings import Settings

    return Settings.load(overrides, FLAGS)


@dataclass(frozen=True)
class Place:
    """Where a deployment is, as the command line says it; None is what it does not say."""

    out: Path | None = None
    redis: str | None = None
    database: str | None = None
    objects: str | None = None

    def catalog_url(self) -> str:
        """Which catalog to read: the one given, that of OUT, or the environment's.

        Raises:
            FacesError: there is none at that place, and an empty one would only mislead; or it is
                another user's.
        """
        if self.out is not None and self.database is None:
            return sqlite_url(check_catalog(self.out))
        if self.database is None and "FACES_DATABASE_URL" not in os.environ:
            raise FacesError("which catalog? Give -o OUT of a run, or --database URL")
        return load_settings(database_url=self.database).database_url.get_secret_value()

    def objects_url(self) -> str:
        """Which object store: the one given, the environment's, or that of OUT.

        Raises:
            FacesError: none of these is given. The services' default, a folder below the working
                directory, is no place to guess at where things get deleted.
        """
        if self.objects is not None or "FACES_OBJECTS_URL" in os.environ:
            return load_settings(objects_url=self.objects).objects_url
        if self.out is None:
            raise FacesError("where are the pictures? Give -o OUT of a run, or --objects URL")
        return (self.out.absolute() / "objects").as_uri()


class Deployment:
    """An open deployment: each part of it is opened when it is first asked for, and closed at the
    end of `deployment`. Where a part cannot be had, asking for it raises a `FacesError`."""

    def __init__(self, place: Place, opened: AsyncExitStack) -> None:
        self.place = place
        self._opened = opened
        self._client: Redis | None = None
        self._catalog: Catalog | None = None
        self._moved: Moved | None = None

    @cached_property
    def settings(self) -> "Settings":
        """The settings, with the servers that the command line names."""
        return load_settings(redis_url=self.place.redis, database_url=self.place.database)

    async def redis(self) -> "Redis":
        """Its Redis, which answers; of OUT, the private server, started where none runs."""
        if self._client is None:
            from shared.streams.client import check, connect
            from shared.streams.refusals import as_unreachable

            if self.place.out is not None and self.place.redis is None:
                from services.cli.local.server import server_of

                url = await self._opened.enter_async_context(server_of(self.place.out))
                client = connect(load_settings(redis_url=url).redis_url)
            else:
                client = connect(self.settings.redis_url)
            self._opened.push_async_callback(client.aclose)
            self._opened.enter_context(as_unreachable())
            await check(client)
            self._client = client
        return self._client

    async def producer(self) -> "Producer":
        """What adds messages to its streams."""
        from shared.streams.producer import Producer

        return Producer(await self.redis(), self.settings)

    async def catalog(self) -> "Catalog":
        """Its catalog (see `Place.catalog_url`)."""
        if self._catalog is None:
            from shared.catalog import Catalog

            self._catalog = await Catalog.open(self.place.catalog_url())
            self._opened.push_async_callback(self._catalog.close)
        return self._catalog

    def objects(self) -> "Objects":
        """Its object store (see `Place.objects_url`)."""
        from shared.stores.objects import Objects

        return Objects.open(self.place.objects_url())

    def here(self, row: "ImageRow") -> "ImageRow":
        """A row whose picture is named where OUT is now."""
        if self._moved is None:
            from services.cli.outdir.moved import Moved

            self._moved = Moved(self.place.out)
        return self._moved.here(row)

    def hold(self) -> None:
        """Hold OUT, where there is one, so that no run works in it meanwhile; may wait for one."""
        if self.place.out is not None:
            self._opened.enter_context(hold(self.place.out, say))


@asynccontextmanager
async def deployment(place: Place) -> AsyncIterator[Deployment]:
    """The deployment at a place.

    Raises:
        Unreachable: one of its servers does not answer.
        FacesError: a part that is asked for is not there.
    """
    from shared.logs import configure_logs_of_a_command

    configure_logs_of_a_command()
    async with AsyncExitStack() as opened:
        yield Deployment(place, opened)


async def whole_id(catalog: "Catalog", submission: str) -> str:
    """The id of a submission, of which the beginning is enough.

    Raises:
        FacesError: there is none, or more than one that begins like this.
    """
    if WHOLE_ID.fullmatch(submission):
        return submission
    newest = await catalog.reader.submissions(limit=LOOKED_AT)
    found = [one.id for one in newest if submission and one.id.startswith(submission)]
    if len(found) == 1:
        return found[0]
    if found:
        raise FacesError(f"{len(found)} submissions begin with {submission}: give more of the id")
    raise FacesError(f"the catalog knows no submission {submission}; see `faces status`")
