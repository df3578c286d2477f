"""Reading payloads of results: a few at a time, so that they fit in memory."""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from shared.messages import Payload
from shared.portions import in_portions

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
    for chunk in in_portions(payloads, lambda payload: payload.size, BYTES_AT_ONCE):
        yield list(zip(chunk, await source.get_many(chunk), strict=True))
