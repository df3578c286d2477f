"""How many steps of sources that need the same thing are under way at once."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

TURN_SECONDS = 0.3
"""How long a step waits for one before it to end: longer than a listing takes where all is well."""


class Turns:
    """Lets at most `share` steps of one key be under way.

    Until a bucket that has fallen silent is known to be away, each of its steps holds one of the
    few that ingest does at once: not all of them may be of one bucket.
    """

    def __init__(self, share: int) -> None:
        self._gates: dict[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(share))
        self._slow: set[str] = set()

    @asynccontextmanager
    async def turn(self, key: str) -> AsyncIterator[bool]:
        """A turn of `key` during the block. False: there is none, and there will be none soon."""
        gate = self._gates[key]
        if not await self._enter(key, gate):
            yield False
            return
        try:
            yield True
        finally:
            gate.release()
            self._slow.discard(key)

    async def _enter(self, key: str, gate: asyncio.Semaphore) -> bool:
        if gate.locked() and key in self._slow:
            return False  # one that waited for long is enough
        try:
            async with asyncio.timeout(TURN_SECONDS):
                await gate.acquire()
        except TimeoutError:
            self._slow.add(key)
            return False
        return True
