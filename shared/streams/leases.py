"""What this consumer holds: how much, in which batches it is handled, and the leases on it."""

import asyncio
import math
import time
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from itertools import islice

import structlog
from redis.exceptions import RedisError

from shared.streams.cancellation import happens_within
from shared.streams.entries import Delivery, Membership
from shared.streams.refusals import as_unreachable, describe
from shared.streams.scripts import Scripts

LEASES_AT_ONCE = 250
"""Leases that one script renews or gives back; of more there are several, so that none blocks
Redis long."""

log = structlog.get_logger()


HELD_BYTES = 64 << 20
"""Messages held by one consumer: beyond that it reads no more, however few entries they are."""

BATCH_BYTES = 8 << 20
"""Messages in one batch, unless the first alone is larger. Read, they take ten times as much."""


class Capacity:
    """From `least` entries to `most`: what is finished in `ahead` seconds comes on top of `least`.

    A consumer that finishes many a second reads for many at a time; one that is slow holds hardly
    more than it is at work on, and leaves the rest to others. Equal bounds make it fixed.
    """

    def __init__(
        self, least: int, most: int, ahead: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.entries = least
        self._least = least
        self._most = most
        self._ahead = ahead
        self._clock = clock
        self._since = clock()
        self._finished = 0

    def finished(self, count: int) -> None:
        """So many entries more have come to their end here."""
        self._finished += count
        passed = self._clock() - self._since
        if self._ahead and passed >= self._ahead:
            extra = int(self._finished * self._ahead / passed)
            self.entries = min(self._most, self._least + extra)
            self._since += passed
            self._finished = 0


class Leases:
    """The entries held by this consumer, up to a `capacity`, each with a lease to renew."""

    def __init__(
        self, scripts: Scripts, membership: Membership, lease_ms: int, capacity: Capacity
    ) -> None:
        self._scripts = scripts
        self._membership = membership
        self._lease_ms = lease_ms
        self._capacity = capacity
        self._held: dict[bytes, Delivery] = {}
        self._bytes = 0
        self._changed = asyncio.Event()
        self._renewed_at = -math.inf
        self.lost = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def room(self) -> int:
        """How many more entries this consumer can start soon."""
        if self._bytes >= HELD_BYTES:
            return 0
        return self._capacity.entries - len(self._held)

    async def wait_for_room(self, stop: asyncio.Event) -> int:
        """How many entries may be read, as soon as that is a quarter of all (one read then serves
        for many), or `stop` is set (and `wake`)."""

        # One task reads, so an event is enough.
        while self.room < max(1, self._capacity.entries // 4) and not stop.is_set():
            self._changed.clear()
            await self._changed.wait()
        return self.room

    def wake(self) -> None:
        """Let whoever waits for room look again."""
        self._changed.set()

    def take(self, deliveries: Iterable[Delivery]) -> list[Delivery]:
        """Begin to hold these. One that is held already (its own lapsed lease, reclaimed by
        this same consumer) is held under its new delivery; its first handling will be refused
        at the fence and this one stands."""
        taken = list(deliveries)
        for one in taken:
            self._forget(one.id)
            self._held[one.id] = one
            self._bytes += len(one.encoded)
        return taken

    def _forget(self, entry_id: bytes) -> None:
        if (held := self._held.pop(entry_id, None)) is not None:
            self._bytes -= len(held.encoded)

    def let_go(self, deliveries: Iterable[Delivery]) -> None:
        """Stop holding these: they are finished, or put back."""
        for one in deliveries:
            if self._held.get(one.id) is one:
                self._forget(one.id)
                self._capacity.finished(1)
        self.wake()

    async def renew_unless_within(self, seconds: float) -> None:
        """Renew, unless that was done within so many seconds."""
        if time.monotonic() - self._renewed_at >= seconds:
            await self.renew()

    async def renew(self) -> None:
        """Renew every lease that is still ours; forget those that are not."""
        began = time.monotonic()
        refused = await self._in_steps(self._renew, list(self._held.values()))
        self._renewed_at = began
        # What was finished while this was asked is nobody's any more, and was not lost.
        lost = [entry_id for entry_id in refused if entry_id in self._held]
        if lost:
            self.lost += len(lost)
            log.warning("leases lost to other consumers", entries=len(lost))
            for entry_id in lost:
                self._forget(entry_id)
            self.wake()

    async def is_held(self, delivery: Delivery) -> bool:
        """Ask Redis whether an entry is still ours; renews its lease.

        Raises:
            Unreachable: Redis does not answer.
        """
        with as_unreachable():
            return not await self._renew([delivery])

    async def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Let others claim these at once, without waiting for the lease to end.

        That they were delivered here is not counted: however often services start anew during an
        outage, nothing becomes poison by that.
        """
        try:
            await self._in_steps(self._return, deliveries)
        except RedisError as error:
            # Nothing is lost: the leases end by themselves.
            log.warning("could not give entries back", reason=describe(error))
        self.let_go(deliveries)

    async def give_back_all(self) -> None:
        """Let others claim all that is held."""
        await self.give_back(list(self._held.values()))

    async def _renew(self, deliveries: Sequence[Delivery]) -> list[bytes]:
        return await self._scripts.renew(self._membership, deliveries)

    async def _return(self, deliveries: Sequence[Delivery]) -> list[bytes]:
        return await self._scripts.give_back(self._membership, self._lease_ms, deliveries)

    @staticmethod
    async def _in_steps(
        call: Callable[[Sequence[Delivery]], Awaitable[list[bytes]]],
        deliveries: Sequence[Delivery],
    ) -> list[bytes]:
        """What a call answers for all of them: the ids of those that are not ours."""
        lost: list[bytes] = []
        remaining = iter(deliveries)
        while some := list(islice(remaining, LEASES_AT_ONCE)):
            lost += await call(some)
        return lost


class Batches:
    """A queue that hands out up to `size` deliveries at a time, of up to `BATCH_BYTES`.

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
            return self._take()

    def _take(self) -> list[Delivery]:
        batch: list[Delivery] = []
        room = BATCH_BYTES
        while self._waiting and len(batch) < self._size and (not batch or room > 0):
            batch.append(self._waiting.popleft())
            room -= len(batch[-1].encoded)
        return batch

    async def _fill(self) -> None:
        """Wait until the batch is full or it is time."""
        if not self._linger:
            return
        loop = asyncio.get_running_loop()
        while len(self._waiting) < self._size and not self._closed:
            left = self._next_at - loop.time()
            if left <= 0:
                break
            self._arrived.clear()
            if not await happens_within(self._arrived, left):
                break
        self._next_at = loop.time() + self._linger

    async def _wait(self) -> None:
        self._arrived.clear()
        await self._arrived.wait()
