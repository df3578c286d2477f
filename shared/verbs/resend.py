"""Resend: what the ledger calls queued and no stream holds, as after Redis lost its data, is sent
again; an image whose bytes only Redis had ends as failed."""

from dataclasses import dataclass

from redis.asyncio import Redis

from shared.catalog import Catalog, QueuedRow
from shared.messages import ImageMessage, ResultMessage, subject_of
from shared.reasons import Failure, Reason
from shared.streams.keys import SOURCES, Keys
from shared.streams.producer import Producer
from shared.streams.repairs import forget_lost_in_flight, waits

SUBMISSIONS = 1000
"""The newest submissions, which are looked at for sources that were never expanded."""


@dataclass
class Resent:
    """What was done about the rows that are queued.

    `sent` were handed on again, `lost` ended as failed because only Redis had their bytes,
    `under_way` needed nothing. `unexpanded` submissions lost sources that only their sender knows.
    """

    sent: int = 0
    lost: int = 0
    under_way: int = 0
    unexpanded: int = 0


async def resend(catalog: Catalog, client: Redis, producer: Producer, keys: Keys) -> Resent:
    """Hand on all that is queued and not under way.

    Repeating this adds nothing: the script that adds refuses an image that is under way.

    Raises:
        Unreachable: the database, or Redis where it is added to, does not answer.
        RedisError: Redis does not answer where it is read.
    """
    await forget_lost_in_flight(client, keys)
    done, after = Resent(), 0
    while rows := await catalog.reader.queued(after=after):
        for row in rows:
            by_reference = row.image.source_uri is not None
            if not by_reference and await waits(client, keys, SOURCES):
                done.under_way += 1  # ingest may be about to hand it on, with its bytes
                continue
            added = await producer.add(_image(row) if by_reference else _failure(row))
            done.sent += added and by_reference
            done.lost += added and not by_reference
            done.under_way += not added
        after = rows[-1].cursor
    done.unexpanded = await _unexpanded(catalog, client, keys)
    return done


async def _unexpanded(catalog: Catalog, client: Redis, keys: Keys) -> int:
    """Submissions whose sources were not all expanded, and never will be."""
    submissions = await catalog.reader.submissions(limit=SUBMISSIONS)
    if await waits(client, keys, SOURCES):
        return 0  # those that wait there may be theirs
    return sum((one.parts_open > 0 or not one.sealed) and not one.cancelled for one in submissions)


def _image(row: QueuedRow) -> ImageMessage:
    """The message that was lost: the same image, under the generation that its row has."""
    return ImageMessage.of(
        row.image,
        submission=row.submission,
        recipe=row.recipe,
        generation=row.generation,
        queued_at=row.queued_at,
    )


def _failure(row: QueuedRow) -> ResultMessage:
    """The end of an image whose bytes only Redis had; who has them may submit them again."""
    subject = subject_of(
        row.image,
        submission=row.submission,
        recipe=row.recipe,
        generation=row.generation,
        queued_at=row.queued_at,
    )
    return ResultMessage.failed(subject, Failure(Reason.BYTES_LOST, Reason.BYTES_LOST.meaning))
