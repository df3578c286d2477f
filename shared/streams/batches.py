"""Deliveries that wait to be handled, given out in batches."""

import asyncio
from collections import deque
from collections.abc import Iterable

from shared.streams.entries import Delivery


class Batches:
    """A queue that hands out up to `size` deliveries at a time.

    Batches begin at least `linger` seconds apart, unless a full one is waiting: so batches grow
    under load, and a delivery that arrives alone is not held up.
    """

    def __init__(self, size: int, linger: float) -> None:
        self._size = size
        self._linger = linger
        self._waiting: deque[Delivery] = deque()
        self._arrived = asyncio.Event()
        self._forming = asyncio.Lock()
        self._next_at = 0.0
        self._closed = False

    def put(self, deliveries: Iterable[Delivery]) -> None:
        """Add deliveries at the end."""
        self._waiting.extend(deliveries)
        if self._waiting:
            self._arrived.set()

    @property
    def pause(self) -> float:
        """Seconds until the next batch may begin, unless it is full before."""
        return max(0.0, self._next_at - asyncio.get_running_loop().time())

    def close(self) -> list[Delivery]:
        """Give out no more; returns what was still waiting. May be called again."""
        self._closed = True
        remaining = list(self._waiting)
        self._waiting.clear()
        self._arrived.set()
        return remaining

    async def next(self) -> list[Delivery]:
        """The next batch, in the order of arrival; empty once closed."""
        async with self._forming:
            while not self._waiting and not self._closed:
                await self._wait()
            await self._fill()
            count = min(self._size, len(self._waiting))
            return [self._waiting.popleft() for _ in range(count)]

    async def _fill(self) -> None:
        """Wait until the batch is full or it is time."""
        if not self._linger:
            return
        loop = asyncio.get_running_loop()
        while len(self._waiting) < self._size and not self._closed:
            left = self._next_at - loop.time()
            if left <= 0:
                break
            try:
                await asyncio.wait_for(self._wait(), left)
            except TimeoutError:
                break
        self._next_at = loop.time() + self._linger

    async def _wait(self) -> None:
        self._arrived.clear()
        await self._arrived.wait()
