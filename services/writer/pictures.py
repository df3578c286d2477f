"""Moving pictures out of Redis into the object store, before the rows that name them."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Protocol

import structlog

from services.writer import metrics
from shared.catalog import PICTURE_LOST
from shared.messages import Body, ResultMessage, Status
from shared.objects import ObjectRefused, Objects

PUTS_AT_ONCE = 16

BYTES_AT_ONCE = 64 << 20
"""Bodies held in memory at a time; one that is larger goes alone."""

log = structlog.get_logger()


class ReadsBodies(Protocol):
    """Where bodies are read from; `shared.streams.bodies.Bodies`."""

    async def get_many(self, bodies: Sequence[Body]) -> list[bytes | None]:
        """The bytes of each, in order; None where they are lost."""
        ...


class Pictures:
    """Stores the pictures of results. Storing one again replaces it by the same bytes."""

    def __init__(self, bodies: ReadsBodies, objects: Objects) -> None:
        self._bodies = bodies
        self._objects = objects
        self._stored: set[str] = set()
        """Bodies stored for results that are not committed yet: while the database is away the
        same results come again and again, and need not be stored each time."""

    async def store(self, results: Sequence[ResultMessage]) -> list[ResultMessage | ObjectRefused]:
        """Put every picture into the store; answers what to commit for each result.

        A result whose picture the store refuses is answered with the refusal. One whose picture
        was lost with Redis becomes a failed one: its promise was a highlighted picture, and a row
        that says so can be found and done again, whereas a row without its picture would pass
        for whole.

        Raises:
            Unreachable: Redis or the store does not answer.
        """
        wanted = {body.id: (key, body) for result in results for key, body in pictures_of(result)}
        pending = [item for id_, item in wanted.items() if id_ not in self._stored]
        lost: set[str] = set()
        refused: dict[str, ObjectRefused] = {}
        for chunk in _chunks(pending):
            contents = await self._bodies.get_many([body for _, body in chunk])
            gate = asyncio.Semaphore(PUTS_AT_ONCE)
            puts = []
            for (key, body), content in zip(chunk, contents, strict=True):
                if content is None:
                    lost.add(body.id)
                else:
                    puts.append(self._put(gate, key, body, content, refused))
            await asyncio.gather(*puts)
        return [_outcome(result, lost, refused) for result in results]

    def forget(self, results: Sequence[ResultMessage]) -> None:
        """These results are committed."""
        self._stored.difference_update(body.id for result in results for body in result.bodies)

    async def _put(
        self,
        gate: asyncio.Semaphore,
        key: str,
        body: Body,
        content: bytes,
        refused: dict[str, ObjectRefused],
    ) -> None:
        async with gate:
            try:
                await self._objects.put(key, content)
            except ObjectRefused as error:
                refused[body.id] = error
                return
        self._stored.add(body.id)
        metrics.OBJECTS.inc()
        metrics.OBJECT_BYTES.inc(len(content))


def pictures_of(result: ResultMessage) -> list[tuple[str, Body]]:
    """Key and body of each picture that still has to be stored."""
    crops = list(zip(result.crops, result.crop_bodies, strict=False))
    if result.body is None:
        return crops
    return [(result.annotated or result.object_key, result.body), *crops]


def _chunks(items: Sequence[tuple[str, Body]]) -> Iterator[list[tuple[str, Body]]]:
    chunk: list[tuple[str, Body]] = []
    size = 0
    for item in items:
        if chunk and size + item[1].size > BYTES_AT_ONCE:
            yield chunk
            chunk, size = [], 0
        chunk.append(item)
        size += item[1].size
    if chunk:
        yield chunk


def _outcome(
    result: ResultMessage, lost: set[str], refused: dict[str, ObjectRefused]
) -> ResultMessage | ObjectRefused:
    for body in result.bodies:
        if body.id in refused:
            return refused[body.id]
    if any(body.id in lost for body in result.bodies):
        metrics.LOST.inc()
        log.warning("picture lost with Redis", image=result.id, name=result.name)
        return failed_result(result, PICTURE_LOST)
    if result.body is not None and result.annotated is None:
        return result.model_copy(update={"annotated": result.object_key})
    return result


def failed_result(result: ResultMessage, reason: str) -> ResultMessage:
    """The same image's result as a failure: nothing is kept but what names the image."""
    return ResultMessage(
        submission=result.submission,
        trace=result.trace,
        recipe=result.recipe,
        id=result.id,
        generation=result.generation,
        name=result.name,
        source_uri=result.source_uri,
        queued_at=result.queued_at,
        status=Status.FAILED,
        reason=reason[:1000],
        consumer=result.consumer,
        attempts=result.attempts,
        detected_at=result.detected_at,
    )
