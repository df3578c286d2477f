"""Reading payloads of results: a few at a time, so that they fit in memory."""

from collections.abc import AsyncIterator, Iterator, Sequence
from typing import Protocol

from shared.messages import Payload

BYTES_AT_ONCE = 64 << 20
"""Payloads held in memory at a time; one that is larger goes alone."""


class ReadsPayloads(Protocol):
    """Where payloads are read from; `shared.streams.payloads.Payloads`."""

    async def get_many(self, payloads: Sequence[Payload]) -> list[bytes | None]:
        """The bytes of each, in order; None where they are lost.

        Raises:
            Unreachable: Redis does not answer.
        """
        ...


async def read_in_chunks(
    source: ReadsPayloads, payloads: Sequence[Payload]
) -> AsyncIterator[list[tuple[Payload, bytes | None]]]:
    """Payloads with their bytes, in order; at most `BYTES_AT_ONCE` in one chunk.

    Errors as `ReadsPayloads.get_many`.
    """
    for chunk in _chunks(payloads):
        yield list(zip(chunk, await source.get_many(chunk), strict=True))


def _chunks(payloads: Sequence[Payload]) -> Iterator[list[Payload]]:
    chunk: list[Payload] = []
    size = 0
    for payload in payloads:
        if chunk and size + payload.size > BYTES_AT_ONCE:
            yield chunk
            chunk, size = [], 0
        chunk.append(payload)
        size += payload.size
    if chunk:
        yield chunk
