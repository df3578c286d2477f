"""Waiting sets: entries put off until what they need (a bucket, a host) may answer again.

An entry put off (`outcome.Later`) leaves its stream, so that it holds up nobody else, and comes
back at the end of the stream when its time is over: each consumer looks for due entries when it
looks for abandoned ones. Until then it is in flight and keeps its payloads.

A key's set has a bound. At the bound whoever expands sources of that key stops expanding them, and
only them (`WaitingSets.is_full`). What is in the stream by then may still be put off, so a set can
outgrow its bound by what one stream holds.
"""

from redis.asyncio import Redis

from shared.streams.high_water import HighWaterMarks
from shared.streams.keys import Keys
from shared.streams.scripts import Scripts

RETURN_AT_ONCE = 100
"""Entries that one script puts back at most: about a millisecond of Redis."""


class WaitingSets:
    """The waiting sets of one stream."""

    def __init__(self, client: Redis, keys: Keys, marks: HighWaterMarks, stream: str) -> None:
        self._client = client
        self._scripts = Scripts(client, keys)
        self._keys = keys
        self._mark = marks.of_stream(stream)
        self._stream = stream

    async def count(self, key: str) -> int:
        """How many entries wait for what `key` names."""
        # redis-py types the answer for all protocols at once; with protocol 2 it is bytes.
        return int(await self._client.hget(self._keys.waiting_of_key(self._stream), key) or 0)

    async def total(self) -> int:
        """How many entries wait, whatever for."""
        return int(await self._client.zcard(self._keys.due(self._stream)))

    async def is_full(self, key: str) -> bool:
        """Whether no more work that needs `key` should be handed on now."""
        return await self.count(key) >= self._mark.entries

    async def return_due(self) -> int:
        """Put entries whose wait is over back into the stream; how many."""
        returned = 0
        while (some := await self._scripts.return_due(self._stream, RETURN_AT_ONCE)) > 0:
            returned += some
            if some < RETURN_AT_ONCE:
                break
        return returned
