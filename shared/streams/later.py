"""Waiting sets: entries put off until what they need (a bucket, a host) may answer again.

An entry put off (`stage.Later`) leaves its stream, so that it holds up nobody else, and comes
back at the end of the stream when its time is over: each consumer looks for due entries when it
looks for abandoned ones. Until then it is in flight and keeps its payloads.

A key's set has a bound. At the bound whoever expands sources of that key stops expanding them, and
only them (`WaitingSets.is_full`). What is in the stream by then may still be put off, so a set can
outgrow its bound by what one stream holds.
"""

from dataclasses import dataclass
from typing import cast

from redis.asyncio import Redis

from shared.streams.entries import number
from shared.streams.keys import Keys
from shared.streams.mending import Mending
from shared.streams.scripts import Answer, Scripts

RETURN_AT_ONCE = 100
"""Entries that one script puts back, or looks at, at most: about a millisecond of Redis."""


@dataclass(frozen=True)
class WaitsFor:
    """What entries wait for (a bucket, a host), how many do, and why it cannot be used."""

    key: str
    count: int
    reason: str


class WaitingSets:
    """The waiting sets of one stream. All methods raise RedisError as the server does."""

    def __init__(self, client: Redis, keys: Keys, stream: str, bound: int) -> None:
        """`bound`: of each key's set, in entries."""
        self._client = client
        self._scripts = Scripts(client, keys)
        self._keys = keys
        self._stream = stream
        self._bound = bound

    async def count(self, key: str) -> int:
        """How many entries wait for what `key` names."""
        # redis-py types the answer for all protocols at once; with protocol 2 it is bytes.
        return number(await self._client.hget(self._keys.waiting_of_key(self._stream), key))

    async def total(self) -> int:
        """How many entries wait, whatever for."""
        return int(await self._client.zcard(self._keys.due(self._stream)))

    async def by_key(self) -> list[WaitsFor]:
        """What entries wait for; most of them first."""
        # As above.
        counts = cast(
            "dict[bytes, bytes]",
            await self._client.hgetall(self._keys.waiting_of_key(self._stream)),
        )
        reasons = cast(
            "dict[bytes, bytes]",
            await self._client.hgetall(self._keys.waiting_reasons(self._stream)),
        )
        found = [
            WaitsFor(
                key.decode(errors="replace"),
                number(count),
                reasons.get(key, b"").decode(errors="replace"),
            )
            for key, count in counts.items()
        ]
        return sorted(found, key=lambda one: (-one.count, one.key))

    async def is_full(self, key: str) -> bool:
        """Whether no more work that needs `key` should be handed on now."""
        return await self.count(key) >= self._bound

    async def return_due(self) -> int:
        """Put entries whose wait is over back into the stream; how many."""
        returned = 0
        while (some := await self._scripts.return_due(self._stream, RETURN_AT_ONCE)) > 0:
            returned += some
            if some < RETURN_AT_ONCE:
                break
        if some == Answer.EXHAUSTED:
            await Mending(self._client, self._keys, own=self._stream).ids(tries=True)
        return returned

    async def bring_back(self, key: str) -> int:
        """Let all that wait for `key` be due now, then put them back; how many came back.

        They join the end of their stream in steps, between which others are added and read.
        """
        cursor, found = b"0", 0
        while True:
            cursor, some = await self._scripts.bring_back(self._stream, key, cursor, RETURN_AT_ONCE)
            found += some
            if cursor == b"0":
                break
        await self.return_due()
        return found

    async def asks(self, key: str, seconds: float) -> None:
        """Say that this process asks about `key`, for so many seconds from now; 0: no longer."""
        now = await self._now()
        await self._client.zadd(self._keys.waiting_asked(self._stream), {key: now + seconds})

    async def bring_back_unasked(self) -> int:
        """Bring back what waits for something that nobody asks about any more, because whoever did
        has ended: how many. They are tried anew, by whoever gets them."""
        asked = self._keys.waiting_asked(self._stream)
        # As above.
        until = cast(
            "list[tuple[bytes, float]]", await self._client.zrange(asked, 0, -1, withscores=True)
        )
        if not until:
            return 0
        now, found = await self._now(), 0
        for key, ends in until:
            if ends <= now and await self._client.zrem(asked, key):  # of several one does it
                found += await self.bring_back(key.decode(errors="replace"))
        return found

    async def _now(self) -> float:
        seconds, microseconds = await self._client.time()
        return seconds + microseconds / 1e6
