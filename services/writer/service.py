"""The writer as a stage: objects first, then rows, and only then the acknowledgement."""

import asyncio
import gc
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Self

import structlog

from services.writer.asked_for import AskedFor
from services.writer.attachments import BYTES_AT_ONCE, Attachments
from services.writer.batch import Committer, Result, not_asked_for
from services.writer.open_submissions import measured
from services.writer.outdated import Outdated
from services.writer.payloads import ReadsPayloads
from services.writer.pictures import Pictures
from shared.catalog import Catalog
from shared.errors import Unreachable
from shared.health import Health
from shared.messages import Message, ResultMessage, Status, decode_result
from shared.portions import in_portions
from shared.reasons import Failure, Reason
from shared.settings import Settings
from shared.stores.objects import ObjectRefused, Objects
from shared.streams.client import connect
from shared.streams.keys import RESULTS, Keys
from shared.streams.payloads import Payloads
from shared.streams.runner import Stage, open_stage_of
from shared.streams.stage import Done, Outcome, Retry, StageSpec, Work

CONCURRENCY = 2
"""Batches under way: the pictures of one are stored while the rows of another are committed."""

log = structlog.get_logger()


class Writer:
    """Handles batches of results. Each step may be cut off and be repeated from the first."""

    def __init__(
        self,
        asked_for: AskedFor,
        attachments: Attachments,
        pictures: Pictures,
        outdated: Outdated,
        committer: Committer,
        objects: Objects,
    ) -> None:
        self._asked_for = asked_for
        self._attachments = attachments
        self._pictures = pictures
        self._outdated = outdated
        self._committer = committer
        self._objects = objects

    @classmethod
    def of(
        cls,
        payloads: ReadsPayloads,
        catalog: Catalog,
        objects: Objects,
        *,
        take_unknown: bool = False,
    ) -> Self:
        """A writer between these three; `take_unknown`: as of `Ledger.commit`."""
        return cls(
            AskedFor(catalog, take_unknown=take_unknown),
            Attachments(payloads),
            Pictures(payloads, objects),
            Outdated(catalog, objects),
            Committer(catalog.ledger, objects, take_unknown=take_unknown),
            objects,
        )

    async def handle(self, works: Sequence[Work[Result]]) -> Sequence[Outcome]:
        """Objects, then rows, then what no row names; the runner acknowledges after that.

        Raises:
            Unreachable: Redis, the object store or the database does not answer. Nothing of the
                pictures is in memory any more; they are read again by the next try.
        """
        try:
            return [
                outcome
                for portion in in_portions(works, _attached_bytes, BYTES_AT_ONCE)
                for outcome in await self._handled(portion)
            ]
        except Unreachable as away:
            reason = str(away)
        # Errors hold the frames that they came through, and those the pictures, in cycles; the loop
        # lets go of them in its next round.
        await asyncio.sleep(0)
        gc.collect()
        raise Unreachable(reason)

    async def _handled(self, works: Sequence[Work[Result]]) -> Sequence[Outcome]:
        unknown = await self._asked_for.unknown([work.message for work in works])
        asked = [work for place, work in enumerate(works) if place not in unknown]
        outcomes = iter(await self._taken_in(asked) if asked else ())
        return [
            not_asked_for(work.message) if place in unknown else next(outcomes)
            for place, work in enumerate(works)
        ]

    async def _taken_in(self, works: Sequence[Work[Result]]) -> Sequence[Outcome]:
        messages = [work.message for work in works]
        whole = await self.read_attachments(messages)
        prepared = await self.store_pictures(whole)
        gone = await self._gone(works, prepared)
        ours = [one for place, one in enumerate(prepared) if place not in gone]
        await self.delete_outdated(ours)
        outcomes = iter(await self.commit_rows(ours))
        self._pictures.forget([one for one in messages if isinstance(one, ResultMessage)])
        # What is not ours is refused at the fence: whoever has it finishes it.
        return [Done() if place in gone else next(outcomes) for place in range(len(works))]

    async def _gone(
        self, works: Sequence[Work[Result]], prepared: Sequence[Result | ObjectRefused]
    ) -> set[int]:
        """Places of results that lack what travelled beside them because a failover of Redis has
        taken them away whole: their images are under way again, and did not fail."""
        lost = [
            place
            for place, one in enumerate(prepared)
            if isinstance(one, ResultMessage)
            and one.code == Reason.PICTURE_LOST
            and one is not works[place].message
        ]
        return {place for place in lost if not await works[place].is_held()}

    async def read_attachments(self, messages: Sequence[Result]) -> list[Result]:
        """First step: each result with the faces that travelled beside it."""
        results = [one for one in messages if isinstance(one, ResultMessage)]
        whole = iter(await self._attachments.take_in(results))
        return [next(whole) if isinstance(one, ResultMessage) else one for one in messages]

    async def store_pictures(self, messages: Sequence[Result]) -> list[Result | ObjectRefused]:
        """Second step: what to commit for each message, its pictures stored."""
        results = [one for one in messages if isinstance(one, ResultMessage)]
        late = await self._outdated.late(results)
        stored = iter(await self._pictures.store(results, late))
        return [next(stored) if isinstance(one, ResultMessage) else one for one in messages]

    async def delete_outdated(self, prepared: Sequence[Result | ObjectRefused]) -> None:
        """Third step: of pictures that were done again, what their new rows will not name."""
        await self._outdated.delete([one for one in prepared if isinstance(one, ResultMessage)])

    async def commit_rows(self, prepared: Sequence[Result | ObjectRefused]) -> list[Outcome]:
        """Fourth step: rows; then objects go that no row names, such as of forgotten pictures."""
        orphans: set[str] = set()
        batch = [one for one in prepared if not isinstance(one, ObjectRefused)]
        committed = iter(await self._committer.commit(batch, orphans))
        await self.delete_orphans(orphans)
        return [
            Retry(str(one), Reason.STORE_REFUSED)
            if isinstance(one, ObjectRefused)
            else next(committed)
            for one in prepared
        ]

    async def delete_orphans(self, orphans: set[str]) -> None:
        """Last step; a store that refuses leaves them to the sweep."""
        if not orphans:
            return
        try:
            await self._objects.delete_all(orphans)
        except ObjectRefused as error:
            log.error("objects of forgotten pictures stay", number=len(orphans), reason=str(error))


def _attached_bytes(work: Work[Result]) -> int:
    message = work.message
    if not isinstance(message, ResultMessage):
        return 0
    return sum(one.payload.size for one in message.attachments)


def failed(message: Result, failure: Failure, attempts: int, _consumer: str) -> Message | None:
    """The result that follows a dead letter of the writer: the image's failed end.

    None for a result that was a failed one already, since it would be refused again; and for one
    that nobody asked for: nobody waits for its end either.
    """
    if not isinstance(message, ResultMessage) or message.status is Status.FAILED:
        return None
    if failure.reason is Reason.NOT_ASKED_FOR:
        return None
    return message.as_failed(failure).model_copy(update={"attempts": attempts})


@asynccontextmanager
async def open_stage(settings: Settings, health: Health) -> AsyncIterator[Stage[Result]]:
    """The writer with its connections; closed when the block ends."""
    objects = Objects.open_or_wait(settings.objects_url)
    client = connect(settings.redis_url)
    catalog = await Catalog.open(settings.database_url.get_secret_value())
    writer = Writer.of(
        Payloads(client, Keys(settings.prefix), settings.inline_limit_bytes),
        catalog,
        objects,
        take_unknown=settings.take_unknown_results,
    )
    spec: StageSpec[Result] = StageSpec(
        name="writer",
        stream=RESULTS,
        decode=decode_result,
        handle=writer.handle,
        failed=failed,
        concurrency=CONCURRENCY,
        batch=settings.writer_batch,
        linger=settings.writer_linger_seconds,
    )
    try:
        async with (
            health.needs({"database": catalog.check}),
            health.needs({"object store": objects.check}, every=objects.check_seconds),
            measured(catalog),
            open_stage_of(spec, settings, health, client) as stage,
        ):
            yield stage
    finally:
        await catalog.close()
        await client.aclose()
