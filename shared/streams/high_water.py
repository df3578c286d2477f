"""How far each stream may fill before its producers wait: in entries and in bytes."""

from dataclasses import dataclass
from typing import Any

from redis.asyncio import Redis

from shared.settings import Settings
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


class HighWaterMarks:
    """The marks of all streams, from the settings and the server's own memory limit.

    Images may take half of the memory, other streams their share of that, so that finishing what
    is there always has room: in all 15 sixteenths. A mark may be overshot by what is added at once.
    """

    def __init__(self, settings: Settings, maxmemory: int) -> None:
        self._entries = settings.high_water
        self._dead_letters = settings.dead_letters
        self._bytes = settings.high_water_bytes or (maxmemory or 2 * GIBIBYTE) // 2

    @classmethod
    async def of(cls, client: Redis, settings: Settings) -> "HighWaterMarks":
        """Ask the server for its limit, by INFO, which managed services allow too."""
        memory: dict[str, Any] = await client.info("memory")  # Any: INFO's values differ in type
        with understood():
            return cls(settings, int(memory.get("maxmemory", 0)))

    def of_stream(self, name: str) -> HighWaterMark:
        """The mark of a stream."""
        kind = STREAMS.get(name)
        if kind is None or kind.share is None:
            return ONLY_WAKES if kind is not None and kind.wakes else NO_MARK
        entries = self._dead_letters if kind.discards else self._entries
        return HighWaterMark(entries, int(self._bytes * kind.share))
