"""How many bytes of pictures one process holds at once: taken before they are read."""

import asyncio
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager


class Room:
    """So many bytes, for all pictures together. One that is larger is held, but alone.

    Whoever waits is served in turn, so that a large picture gets its turn among small ones.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._taken = 0
        self._waiting: deque[tuple[int, asyncio.Future[None]]] = deque()

    @contextmanager
    def share(self) -> Iterator["Share"]:
        """What one picture takes, nothing at first; given back when the block ends."""
        share = Share(self)
        try:
            yield share
        finally:
            self.give_back(share.size)

    def take_now(self, size: int) -> bool:
        """Take so many bytes, unless others wait or there are too few."""
        if self._waiting or not self._fits(size):
            return False
        self._taken += self._of_limit(size)
        return True

    async def take(self, size: int) -> None:
        """Take so many bytes when it is their turn."""
        if self.take_now(size):
            return
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((size, turn))
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():  # it was given at this very moment
                self.give_back(size)
            else:
                self._serve()  # who stood behind may have fitted all the time
            raise

    def give_back(self, size: int) -> None:
        """What was taken, as it was taken."""
        self._taken -= self._of_limit(size)
        self._serve()

    def _serve(self) -> None:
        while self._waiting:
            size, turn = self._waiting[0]
            if not turn.done():
                if not self._fits(size):
                    return
                self._taken += self._of_limit(size)
                turn.set_result(None)
            self._waiting.popleft()

    def _fits(self, size: int) -> bool:
        return self._taken + self._of_limit(size) <= self._limit

    def _of_limit(self, size: int) -> int:
        return min(size, self._limit)


class Share:
    """One picture's part of a `Room`."""

    def __init__(self, room: Room) -> None:
        self._room = room
        self.size = 0

    def take_now(self, size: int) -> bool:
        """Have so many bytes, if that is possible without waiting."""
        if self.size >= size:
            return True
        if self.size or not self._room.take_now(size):
            return False
        self.size = size
        return True

    async def take(self, size: int) -> None:
        """Have so many bytes, after waiting for them. What was taken before is given back first:
        two that each hold a part and wait for the rest would wait for ever."""
        if self.size >= size:
            return
        before, self.size = self.size, 0
        self._room.give_back(before)
        await self._room.take(size)
        self.size = size
