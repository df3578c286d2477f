"""Dead letters are bounded, in number and in bytes: nobody waits for them, so the oldest make room.

At the bound in bytes the oldest lose their payloads first. The letter stays and says so: a picture
that is read by reference can still be put back. Where that is not enough, and at the bound in
number, the oldest letters go. The rows stay as they are, failed and with the reason.
"""

import math
import re
import time
from dataclasses import dataclass
from typing import cast

import structlog
from redis.asyncio import Redis

from shared.metrics import DEAD_LETTER_BYTES, DEAD_LETTERS, DEAD_LETTERS_SHED
from shared.streams.dead import DeadLetter, read_letters
from shared.streams.entries import number as counted
from shared.streams.high_water import UNLIMITED, HighWaterMark
from shared.streams.keys import DEAD, Keys
from shared.streams.remedies import Remedies

AT_ONCE = 20
"""Letters that one script takes something from: about a millisecond of Redis."""

READ_BYTES = 4 << 20
"""Letters read for that, where they are large: each may have a mebibyte."""

TRUSTED_SECONDS = 300.0
"""How long the counter of their bytes is believed, once they were weighed: 10,000 take 0.09 s of
Redis. They are before any loses something for its bytes: a person may have trimmed them."""

_ID = re.compile(r"[0-9]{1,20}-[0-9]{1,20}")

log = structlog.get_logger()


@dataclass(frozen=True)
class Shed:
    """What dead letters lost at their bound since there were none: how many are `stripped` of
    their bytes, and how many are `gone`. `last` is the id up to which all were stripped."""

    stripped: int = 0
    gone: int = 0
    last: str = "0-0"

    @classmethod
    def read(cls, fields: dict[bytes, bytes]) -> "Shed":
        """From the hash that the scripts keep."""

        def number(name: bytes) -> int:
            text = fields.get(name, b"")
            return counted(text)

        last = fields.get(b"last", b"0-0").decode(errors="replace")
        if not _ID.fullmatch(last):  # not of the scripts
            last = "0-0"
        return cls(number(b"bytes"), number(b"letters"), last)


class DeadBounds:
    """Keeps the dead letters of one suite within `mark`. Many may do so at once."""

    def __init__(self, client: Redis, keys: Keys, mark: HighWaterMark) -> None:
        self._client = client
        self._keys = keys
        self._remedies = Remedies(client, keys)
        self._mark = mark
        self._trusted_until = -math.inf

    async def keep(self) -> None:
        """Take what is beyond the bounds, and set the gauges.

        Raises:
            RedisError: as the server answers; the next call does what is left.
        """
        found = await self._look()
        lost_bytes = gone = 0
        while found.length > self._mark.entries or found.held > self._mark.bytes:
            if found.length <= self._mark.entries and time.monotonic() >= self._trusted_until:
                await self._remedies.weigh()
                self._trusted_until = time.monotonic() + TRUSTED_SECONDS
                found = await self._look()
                continue
            step = await self._next_step(found)
            looked_at, lost = await self._remedies.shed(
                step.letters, step.bounds, takes_letters=step.takes_letters
            )
            if step.takes_letters:
                gone += lost
            else:
                lost_bytes += lost
            if not looked_at:
                break  # the bounds held: others keep them as well
            found = await self._look()
        DEAD_LETTERS.set(found.length)
        DEAD_LETTER_BYTES.set(found.held)
        DEAD_LETTERS_SHED.labels("bytes").inc(lost_bytes)
        DEAD_LETTERS_SHED.labels("letter").inc(gone)
        if lost_bytes or gone:
            log.warning(
                "dead letters are at their bound, and the oldest made room",
                lost_their_bytes=lost_bytes,
                gone=gone,
                letters_allowed=self._mark.entries,
                bytes_allowed=self._mark.bytes,
            )

    async def _look(self) -> "_Found":
        dead = self._keys.stream(DEAD)
        async with self._client.pipeline(transaction=False) as pipeline:
            pipeline.xlen(dead)
            pipeline.hget(self._keys.bytes, dead)
            pipeline.hgetall(self._keys.dead_shed)
            length, held, shed = await pipeline.execute()
        # redis-py types the answer for all protocols at once; with protocol 2 it is this.
        fields = cast("dict[bytes, bytes]", shed)
        # No letters have no bytes, whatever a counter says.
        return _Found(length, counted(held) if length else 0, Shed.read(fields))

    async def _next_step(self, found: "_Found") -> "_Step":
        """The oldest letters that have what must go."""
        if found.length > self._mark.entries:
            many = min(AT_ONCE, found.length - self._mark.entries)
            bounds = HighWaterMark(self._mark.entries, UNLIMITED)
            return _Step(await self._read("-", many), bounds, takes_letters=True)
        bounds = HighWaterMark(UNLIMITED, self._mark.bytes)
        many = max(1, min(AT_ONCE, READ_BYTES * found.length // found.held))
        if letters := await self._read(f"({found.shed.last}", many):
            return _Step(letters, bounds, takes_letters=False)
        return _Step(await self._read("-", many), bounds, takes_letters=True)

    async def _read(self, start: str, count: int) -> list[DeadLetter]:
        return await read_letters(self._client, self._keys, start, "+", count)


@dataclass(frozen=True)
class _Found:
    """How dead letters stand: how many, how many bytes they hold, and what they lost before."""

    length: int
    held: int
    shed: Shed


@dataclass(frozen=True)
class _Step:
    """Letters that are to go, or to lose their bytes, until these bounds hold."""

    letters: list[DeadLetter]
    bounds: HighWaterMark
    takes_letters: bool
