"""The catalog as the services use it: one class, one transaction a method."""

import asyncio
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import committing, curation, feed, named, progress, queries, queueing
from shared.catalog.curation import Redo, RedoStep
from shared.catalog.database import Database
from shared.catalog.named import ObjectsOfRow
from shared.catalog.queries import Filter
from shared.catalog.values import CommitReport, Decision, ImageRow, Progress, QueuedRow, Step
from shared.messages import ResultMessage, SourceFailedMessage, now
from shared.recipe import Recipe

T = TypeVar("T")

DEADLOCKS = ("40P01", "40001")
"""PostgreSQL gave this transaction up for another's sake: it may simply be done again."""

DEADLOCK_TRIES = 5

STEP = 500
"""Rows changed in one transaction where many are to be: the services get their turn between."""


class Catalog:
    """Where every image stands. Methods raise `Unreachable` if the database does not answer."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @classmethod
    async def open(cls, url: str) -> "Catalog":
        """Open, create or upgrade the catalog at a `sqlite:///` or `postgresql://` URL.

        Raises:
            SettingsError: the URL cannot be used, or a newer program made the catalog.
            Unreachable: the server or the disk does not answer.
        """
        return cls(await Database.open(url))

    async def close(self) -> None:
        """Give all connections back."""
        await self._database.close()

    async def open_submission(
        self, submission: str, name: str, created_at: datetime, parts: int | None = None
    ) -> None:
        """Make a submission known; `parts` as in `seal`. Repeating it changes nothing."""

        async def work(connection: AsyncConnection) -> None:
            key, _ = await queueing.submission_key(connection, submission, name, created_at)
            if parts is not None:
                await queueing.seal(connection, key, parts)

        await self._write(work)

    async def queue(self, step: Step) -> list[Decision]:
        """Write one step of an expansion, in one transaction; one decision an image, in order.

        Raises:
            Refused: the database refuses some row of the step.
        """
        return await self._write(lambda connection: queueing.queue(connection, step))

    async def seal(
        self, submission: str, parts: int, name: str = "", created_at: datetime | None = None
    ) -> None:
        """Say how many parts a submission has: without that it is never complete.

        `name` and `created_at` are used if the end arrives before any of the parts did.
        """
        await self.open_submission(submission, name, created_at or now(), parts)

    async def fail_part(self, submission: str, part: int, uri: str | None, reason: str) -> None:
        """Close a part that cannot be expanded; a part that was closed before stays as it is."""

        async def work(connection: AsyncConnection) -> None:
            key, _ = await queueing.submission_key(connection, submission, "", now())
            await queueing.fail_part(connection, key, part, uri, reason)

        await self._write(work)

    async def commit(
        self,
        results: Sequence[ResultMessage],
        failures: Sequence[SourceFailedMessage] = (),
        uri_of: Callable[[str], str] = str,
    ) -> CommitReport:
        """Write results and failed parts, in one transaction, or none of them.

        A row ends by the first result of its own generation; any other is late and changes
        nothing. `uri_of` makes of an object's key what the row keeps: a URI to open.

        Raises:
            Refused: the database refuses some row of them.
        """
        return await self._write(
            lambda connection: committing.commit(connection, results, failures, uri_of)
        )

    async def progress(self, submission: str) -> Progress:
        """Where a submission stands; the cost does not depend on its size.

        Raises:
            FacesError: the catalog does not know it.
        """
        async with self._database.reading() as connection:
            return await progress.progress(connection, submission)

    async def submissions(self, limit: int = 50, before: datetime | None = None) -> list[Progress]:
        """The newest submissions, each with its progress."""
        async with self._database.reading() as connection:
            return await progress.list_submissions(connection, limit, before)

    async def members(
        self, submission: str, after: int = 0, limit: int = 1000
    ) -> list[feed.Member]:
        """A page of a submission's images, ended or not, behind the key `after`."""
        async with self._database.reading() as connection:
            return await feed.members(connection, submission, after, limit)

    async def pace(self, submission: str, seconds: float = 60) -> float:
        """Images of a submission that ended each second lately; 0 if none did."""
        moment = now()
        async with self._database.reading() as connection:
            number, first = await progress.recent_ends(
                connection, submission, moment - timedelta(seconds=seconds)
            )
        return number / max(0.1, (moment - first).total_seconds()) if first else 0.0

    async def page(
        self, filter_: Filter, after: int = 0, limit: int = 50, faces: bool = True
    ) -> list[ImageRow]:
        """One page of a filter's rows; the next begins after the last row's `cursor`."""
        async with self._database.reading() as connection:
            return await queries.page(connection, filter_, after, limit, faces)

    async def results(
        self, filter_: Filter, limit: int | None = None, faces: bool = True, after: int = 0
    ) -> AsyncIterator[ImageRow]:
        """All rows of a filter behind the cursor `after`, or the first `limit` of them.

        They are read in pages: memory stays small.

        No transaction stays open between pages, so what changes meanwhile may be seen.
        """
        left = limit
        while left is None or left > 0:
            size = queries.PAGE if left is None else min(queries.PAGE, left)
            rows = await self.page(filter_, after, size, faces)
            for row in rows:
                yield row
            if len(rows) < size:
                return
            after = rows[-1].cursor
            left = None if left is None else left - size

    async def show(self, name_or_id: str, recipe: str | None = None) -> list[ImageRow]:
        """One picture's history: its row under each recipe, by its identity or whole name."""
        async with self._database.reading() as connection:
            return await queries.named(connection, name_or_id, recipe)

    async def recipe(self, name: str) -> Recipe:
        """The recipe that a row's short name of it stands for.

        Raises:
            FacesError: the catalog does not know it.
        """
        async with self._database.reading() as connection:
            return await curation.read_recipe(connection, name)

    async def queued(
        self, submission: str | None = None, after: int = 0, limit: int = 500
    ) -> list[QueuedRow]:
        """A page of the rows that are queued: what is under way, or was lost with Redis."""
        async with self._database.reading() as connection:
            return await queries.queued(connection, submission, after, limit)

    async def objects_of(
        self, keys: Sequence[tuple[str, str]]
    ) -> dict[tuple[str, str], ObjectsOfRow]:
        """What the rows of these (id, recipe) say of their objects; without a row, no entry."""
        async with self._database.reading() as connection:
            return await named.objects_of(connection, keys)

    async def cancel(self, submission: str) -> int:
        """Cancel a submission; returns how many of its images had not been searched.

        They end as failed with the reason `CANCELLED`, but for those that others still wait for.
        Cancelling again goes on where the first was cut off.
        """
        await self._write(lambda connection: curation.mark_cancelled(connection, submission))
        total = 0
        while True:
            number = await self._write(
                lambda connection: curation.cancel_some(connection, submission, STEP)
            )
            total += number
            if not number:
                return total

    async def redo(self, request: Redo) -> RedoStep:
        """One step of queueing ended images again; whoever calls hands them on, then goes on.

        Repeating a step that was not handed on answers the same images.
        """
        return await self._write(lambda connection: curation.redo(connection, request))

    async def revive(self, image: str, recipe: str) -> int | None:
        """Queue one image again, as its dead letter is retried; its generation from then on.

        One that is queued stays as it is, so that repeating this raises nothing; None where the
        catalog has no such row (any more).
        """
        return await self._write(lambda connection: curation.revive(connection, image, recipe))

    async def forget_some(self, filter_: Filter, limit: int = 500) -> list[tuple[str, str, str]]:
        """Delete the rows of some images: (id, recipe, name) of each, none when there are no more.

        Their objects are left to the caller: see `shared.housekeeping.forget`.
        """
        return await self._write(
            lambda connection: curation.forget_some(connection, filter_, limit)
        )

    async def uncleared(self, limit: int = 500) -> list[tuple[str, str]]:
        """Id and recipe of forgotten images whose objects may still be there."""
        async with self._database.reading() as connection:
            return await curation.uncleared(connection, limit)

    async def clear(self, keys: Sequence[tuple[str, str]]) -> None:
        """The objects of these forgotten images are deleted."""
        await self._write(lambda connection: curation.clear(connection, keys))

    async def _write(self, work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
        for attempt in range(1, DEADLOCK_TRIES + 1):
            try:
                async with self._database.writing() as connection:
                    return await work(connection)
            except Exception as error:
                cause = error.__cause__
                deadlock = (
                    isinstance(cause, DBAPIError)
                    and getattr(cause.orig, "sqlstate", None) in DEADLOCKS
                )
                if not deadlock or attempt == DEADLOCK_TRIES:
                    raise
            await asyncio.sleep(random.uniform(0, 0.02 * attempt))  # noqa: S311 - jitter
        raise AssertionError("the last attempt returns or raises")
