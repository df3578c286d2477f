"""Where the bytes of a picture come from: sent along, out of a bucket, or a file of this host."""

from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import ClassVar, Protocol

from services.detector.failures import Refused
from services.detector.references import Opened
from services.detector.room import Room
from shared.messages import ImageMessage, Payload
from shared.reasons import Reason
from shared.references import Scheme, scheme_of, unknown

ROOM_BYTES = 128 << 20
ROOM_A_SLOT_BYTES = 16 << 20
"""Room for pictures that wait for a slot or are at work in one: of two photographs a slot, and not
less than one large file at a time needs where slots are few."""


def room_of(slots: int) -> Room:
    """Room for pictures of so many slots."""
    return Room(max(ROOM_BYTES, slots * ROOM_A_SLOT_BYTES))


class ReadsPayloads(Protocol):
    """Where inline pictures are read from; `shared.streams.payloads.Payloads`."""

    async def get(self, payload: Payload) -> bytes | None:
        """The bytes; None where they are lost."""
        ...


class Reads(Protocol):
    """How pictures of one kind of reference are had."""

    scheme: ClassVar[Scheme]

    def content(self, uri: str, version: str) -> AbstractAsyncContextManager[bytes | Opened]:
        """As `Contents.of`."""
        ...


class Contents:
    """Gets what this process gets for its slots."""

    def __init__(self, payloads: ReadsPayloads, by_reference: Sequence[Reads], room: Room) -> None:
        self._payloads = payloads
        self._by_reference = {reads.scheme: reads for reads in by_reference}
        self._room = room

    def of(self, message: ImageMessage) -> AbstractAsyncContextManager[bytes | Opened]:
        """A picture's bytes, which take room until the block ends, or its open file, for a slot.

        They are there before a slot is free, so that none waits for them.

        Raises:
            Refused, TryAgain: they cannot be had, and whether it is worth another attempt.
            PutOff: what they are in does not answer.
            Unreachable: Redis does not.
        """
        if message.payload is not None:
            return self._inline(message.payload)
        uri = message.source_uri or ""
        scheme = scheme_of(uri)
        if scheme is None or scheme not in self._by_reference:
            raise Refused(Reason.NOT_ALLOWED, unknown(uri))
        return self._by_reference[scheme].content(uri, message.source_version)

    @asynccontextmanager
    async def _inline(self, payload: Payload) -> AsyncIterator[bytes]:
        with self._room.share() as share:
            await share.take(payload.size)
            content = await self._payloads.get(payload)
            if content is None:
                raise Refused(Reason.BYTES_LOST, Reason.BYTES_LOST.meaning)
            yield content
