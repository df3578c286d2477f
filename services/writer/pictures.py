"""Moving pictures out of Redis into the object store, before the rows that name them."""

import asyncio
from collections.abc import Iterator, Sequence
from typing import Protocol

import structlog

from services.writer import metrics
from shared.messages import Payload, ResultMessage
from shared.objects import ObjectRefused, Objects
from shared.reasons import Failure, Reason

PUTS_AT_ONCE = 16

BYTES_AT_ONCE = 64 << 20
"""Payloads held in memory at a time; one that is larger goes alone."""

log = structlog.get_logger()


class ReadsPayloads(Protocol):
    """Where payloads are read from; `shared.streams.payloads.Payloads`."""

    async def get_many(self, payloads: Sequence[Payload]) -> list[bytes | None]:
        """The bytes of each, in order; None where they are lost."""
        ...


class Pictures:
    """Stores the pictures of results. Storing one again replaces it by the same bytes."""

    def __init__(self, payloads: ReadsPayloads, objects: Objects) -> None:
        self._payloads = payloads
        self._objects = objects
        self._stored: set[str] = set()
        """Payloads stored for results that are not committed yet: while the database is away the
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
        wanted = {
            payload.id: (key, payload) for result in results for key, payload in pictures_of(result)
        }
        pending = [item for id_, item in wanted.items() if id_ not in self._stored]
        lost: set[str] = set()
        refused: dict[str, ObjectRefused] = {}
        for chunk in _chunks(pending):
            contents = await self._payloads.get_many([payload for _, payload in chunk])
            gate = asyncio.Semaphore(PUTS_AT_ONCE)
            puts = []
            for (key, payload), content in zip(chunk, contents, strict=True):
                if content is None:
                    lost.add(payload.id)
                else:
                    puts.append(self._put(gate, key, payload, content, refused))
            await asyncio.gather(*puts)
        return [_outcome(result, lost, refused) for result in results]

    def forget(self, results: Sequence[ResultMessage]) -> None:
        """These results are committed."""
        self._stored.difference_update(
            payload.id for result in results for payload in result.payloads
        )

    async def _put(
        self,
        gate: asyncio.Semaphore,
        key: str,
        payload: Payload,
        content: bytes,
        refused: dict[str, ObjectRefused],
    ) -> None:
        async with gate:
            try:
                await self._objects.put(key, content)
            except ObjectRefused as error:
                refused[payload.id] = error
                return
        self._stored.add(payload.id)
        metrics.OBJECTS.inc()
        metrics.OBJECT_BYTES.inc(len(content))


def pictures_of(result: ResultMessage) -> list[tuple[str, Payload]]:
    """Key and payload of each picture that still has to be stored."""
    crops = list(zip(result.crops, result.crop_payloads, strict=False))
    if result.payload is None:
        return crops
    return [(result.annotated or result.keys.annotated, result.payload), *crops]


def _chunks(items: Sequence[tuple[str, Payload]]) -> Iterator[list[tuple[str, Payload]]]:
    chunk: list[tuple[str, Payload]] = []
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
    for payload in result.payloads:
        if payload.id in refused:
            return refused[payload.id]
    if any(payload.id in lost for payload in result.payloads):
        metrics.LOST.inc()
        log.warning("picture lost with Redis", image=result.id, name=result.name)
        return failed_result(result, Failure(Reason.PICTURE_LOST, Reason.PICTURE_LOST.meaning))
    if result.payload is not None and result.annotated is None:
        return result.model_copy(update={"annotated": result.keys.annotated})
    return result


def failed_result(result: ResultMessage, failure: Failure) -> ResultMessage:
    """The same image's result as a failure: nothing is kept but what names the image."""
    return ResultMessage.failed(
        result.subject,
        failure,
        attempts=result.attempts,
        consumer=result.consumer,
        detected_at=result.detected_at,
    )
