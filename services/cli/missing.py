"""`faces submit --missing`: what the ledger calls queued and Redis has lost is handed on again."""

import json
import sys
from contextlib import AsyncExitStack
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from shared.errors import Exit

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from shared.catalog import Catalog, QueuedRow
    from shared.messages import ImageMessage, ResultMessage
    from shared.settings import Settings
    from shared.streams.producer import Producer


@dataclass
class Found:
    """What was done about the rows that are queued.

    `sent` were handed on again, `lost` ended as failed because only Redis had their bytes,
    `under_way` needed nothing. `unexpanded` submissions lost sources: nobody else knows these.
    """

    sent: int = 0
    lost: int = 0
    under_way: int = 0
    unexpanded: int = 0


async def submit_missing(settings: "Settings", *, as_json: bool) -> Exit:
    """Hand on what is queued and not under way, tell what was found, and give the exit status.

    Repeating this adds nothing: an image that is under way is refused by the script that adds.
    """
    from redis.exceptions import RedisError

    from shared.catalog import Catalog
    from shared.errors import Unreachable
    from shared.streams.client import check, connect, describe
    from shared.streams.producer import Producer

    async with AsyncExitStack() as opened:
        client = connect(settings.redis_url)
        opened.push_async_callback(client.aclose)
        await check(client)
        catalog = await Catalog.open(settings.database_url.get_secret_value())
        opened.push_async_callback(catalog.close)
        try:
            await _forget_flights_of_none(client, settings.prefix)
            found = await _hand_on(catalog, Producer(client, settings))
            found.unexpanded = await _unexpanded(catalog, client, settings.prefix)
        except RedisError as error:
            raise Unreachable(describe(error)) from None
    _tell(found, as_json=as_json)
    return Exit.SOME_FAILED if found.lost or found.unexpanded else Exit.DONE


async def _hand_on(catalog: "Catalog", producer: "Producer") -> Found:
    found, after = Found(), 0
    while rows := await catalog.reader.queued(after=after):
        for row in rows:
            by_reference = row.image.source_uri is not None
            added = await producer.add(_image(row) if by_reference else _failure(row))
            found.sent += added and by_reference
            found.lost += added and not by_reference
            found.under_way += not added
        after = rows[-1].cursor
    return found


async def _forget_flights_of_none(client: "Redis", prefix: str) -> None:
    """While nothing is under way no image is: what a destroyed entry left would block it."""
    from redis.exceptions import WatchError

    from shared.streams.keys import IMAGES, RESULTS, Keys

    keys = Keys(prefix)
    streams = [keys.stream(IMAGES), keys.stream(RESULTS)]
    async with client.pipeline(transaction=True) as pipeline:
        await pipeline.watch(*streams)
        if any([await pipeline.xlen(stream) for stream in streams]):
            return
        pipeline.multi()  # type: ignore[no-untyped-call]
        pipeline.unlink(keys.in_flight)
        try:
            await pipeline.execute()
        except WatchError:
            return  # something has just been added, so there is work under way


async def _unexpanded(catalog: "Catalog", client: "Redis", prefix: str) -> int:
    """Submissions whose sources were not all expanded, and never will be."""
    from shared.streams.keys import SOURCES, Keys

    submissions = await catalog.reader.submissions(limit=1000)
    if await client.xlen(Keys(prefix).stream(SOURCES)):
        return 0  # those that wait there may be theirs
    return sum((one.parts_open > 0 or not one.sealed) and not one.cancelled for one in submissions)


def _image(row: "QueuedRow") -> "ImageMessage":
    """The message that was lost: the same image, under the generation that its row has."""
    from shared.messages import ImageMessage

    return ImageMessage.of(
        row.image,
        submission=row.submission,
        recipe=row.recipe,
        generation=row.generation,
        queued_at=row.queued_at,
    )


def _failure(row: "QueuedRow") -> "ResultMessage":
    """The end of an image whose bytes only Redis had; who has them may submit them again."""
    from shared.messages import ResultMessage, subject_of
    from shared.reasons import Failure, Reason

    subject = subject_of(
        row.image,
        submission=row.submission,
        recipe=row.recipe,
        generation=row.generation,
        queued_at=row.queued_at,
    )
    return ResultMessage.failed(subject, Failure(Reason.BYTES_LOST, Reason.BYTES_LOST.meaning))


def _tell(found: Found, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps(asdict(found)), flush=True)
        return
    print(f"{found.sent:,} sent again, {found.lost:,} lost, {found.under_way:,} under way")
    if found.lost:
        print("what was lost had been sent along: submit it again from where it is")
    if found.unexpanded:
        print(
            f"{found.unexpanded:,} submissions were not fully expanded: submit their sources again",
            file=sys.stderr,
        )
