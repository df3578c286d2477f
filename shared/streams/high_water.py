"""How far each stream may fill before its producers wait: in entries and in bytes."""

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from shared.settings import Settings
from shared.streams.refusals import as_unreachable
from shared.streams.replies import understood
from shared.streams.topology import STREAMS

GIBIBYTE = 1 << 30

ENTRY_OVERHEAD_BYTES = 150
"""What one entry costs in Redis beyond its message and payloads (measured: 100 to 150 bytes for
the entry, its pending record and its name in the set of what is in flight)."""

UNLIMITED = 1 << 52
"""A mark that is never reached; Lua numbers are exact up to 2**53."""


@dataclass(frozen=True)
class HighWaterMark:
    """The length and the weight in bytes at which a stream counts as full.

    `entries` of -1 says that entries only wake their reader (see `topology.StreamKind.wakes`).
    """

    entries: int
    bytes: int


NO_MARK = HighWaterMark(UNLIMITED, UNLIMITED)
ONLY_WAKES = HighWaterMark(-1, UNLIMITED)

WORTH_ASKING_BYTES = 8 << 20
"""Less than this finds room in the end: no Redis of less than twice as much holds a suite."""


class HighWaterMarks:
    """The marks of all streams, from the settings and the server's own memory limit.

    Images may take half of the memory, other streams their share of that, so that finishing what
    is there always has room: in all 15 sixteenths. A mark may be overshot by what is added at once.
    """

    def __init__(self, settings: Settings, maxmemory: int) -> None:
        self._entries = settings.high_water
        self._dead_letters = settings.dead_letters
        self._bytes = settings.high_water_bytes or (maxmemory or 2 * GIBIBYTE) // 2
        self.most_at_once = maxmemory // 2 or UNLIMITED
        """Bytes that one message may bring along: half of what Redis may hold. The other half is
        for images, without which nothing is to be handed on, and what a connection has received is
        held once more until it is stored. More than this may wait for room for ever."""

    @classmethod
    async def of(cls, client: Redis, settings: Settings) -> "HighWaterMarks":
        """Ask the server for its limit, by INFO, which managed services allow too."""
        memory: dict[str, Any] = await client.info("memory")  # Any: INFO's values differ in type
        with understood():
            return cls(settings, int(memory.get("maxmemory", 0)))

    @classmethod
    async def largest_message(cls, client: Redis, settings: Settings, size: int) -> int:
        """Bytes that one message may bring along, asked only where `size` may be too many.

        Raises:
            Unreachable: Redis does not answer.
        """
        if size <= WORTH_ASKING_BYTES:
            return UNLIMITED
        with as_unreachable():
            return (await cls.of(client, settings)).most_at_once

    def of_stream(self, name: str) -> HighWaterMark:
        """The mark of a stream."""
        kind = STREAMS.get(name)
        if kind is None or kind.share is None:
            return ONLY_WAKES if kind is not None and kind.wakes else NO_MARK
        entries = self._dead_letters if kind.discards else self._entries
        return HighWaterMark(entries, int(self._bytes * kind.share))
