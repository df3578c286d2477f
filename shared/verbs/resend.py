"""Resend: what the ledger calls queued and no stream holds, as after Redis lost its data, is sent
again; an image whose bytes only Redis had ends as failed."""

from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from shared.catalog import Catalog, QueuedRow, SubmissionStatus
from shared.errors import FacesError, Unreachable
from shared.messages import ImageMessage, ResultMessage, subject_of
from shared.reasons import Failure, Reason
from shared.streams.carried import SourcesUnderWay, forget_lost_in_flight
from shared.streams.keys import Keys
from shared.streams.producer import Producer

SUBMISSIONS = 1000
"""The newest submissions, which are looked at for sources that were never expanded."""

SENT_ALONG_AT_ONCE = 10_000
"""Rows of images that were sent along, for which the sources are read once."""


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
    done, after, sent_along = Resent(), 0, list[QueuedRow]()
    while rows := await catalog.reader.queued(after=after):
        for row in rows:
            if row.image.source_uri is None:
                sent_along.append(row)
            else:
                added = await producer.add(_image(row))
                done.sent += added
                done.under_way += not added
        after = rows[-1].cursor
        if len(sent_along) >= SENT_ALONG_AT_ONCE:
            await _end_lost(sent_along, client, producer, keys, done)
            sent_along.clear()
    await _end_lost(sent_along, client, producer, keys, done)
    done.unexpanded = await _unexpanded(catalog, client, keys)
    return done


async def _end_lost(
    rows: Sequence[QueuedRow], client: Redis, producer: Producer, keys: Keys, done: Resent
) -> None:
    """End the images that were sent along and whose bytes are nowhere any more.

    Sources are read after the rows: what is in none of them by then was handed on, and is in
    flight, or is lost.
    """
    if not rows:
        return
    sources = await SourcesUnderWay.read(client, keys)
    for row in rows:
        is_lost = not sources.has_image(row.image.id, row.recipe.id)
        lost = is_lost and await producer.add(_failure(row))
        done.lost += lost
        done.under_way += not lost


async def _unexpanded(catalog: Catalog, client: Redis, keys: Keys) -> int:
    """Submissions whose sources were not all expanded, and never will be.

    The catalog is asked before the sources are read and after that: what ingest expands meanwhile
    is no longer open by then.
    """
    newest = await catalog.reader.submissions(limit=SUBMISSIONS)
    is_open = [one.id for one in newest if _is_open(one)]
    if not is_open:
        return 0
    sources = await SourcesUnderWay.read(client, keys)
    return sum([await _stays_open(catalog, one) for one in sources.without(is_open)])


async def _stays_open(catalog: Catalog, submission: str) -> bool:
    try:
        return _is_open(await catalog.reader.submission(submission))
    except Unreachable:
        raise
    except FacesError:  # it is gone meanwhile
        return False


def _is_open(one: SubmissionStatus) -> bool:
    """Whether it lacks sources, or their end."""
    return (one.parts_open > 0 or not one.sealed) and not one.cancelled


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
