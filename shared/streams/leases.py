"""What this consumer holds, and how it keeps or gives back the leases on it."""

import asyncio
import math
import time
from collections.abc import Iterable, Sequence
from itertools import islice

import structlog
from redis.exceptions import RedisError

from shared.streams.capacity import Capacity
from shared.streams.client import describe
from shared.streams.entries import Delivery, Membership
from shared.streams.scripts import Scripts

RENEW_AT_ONCE = 250
"""Leases renewed by one script; more are renewed by several, so that none blocks Redis long."""

log = structlog.get_logger()


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
        self._changed = asyncio.Event()
        self._renewed_at = -math.inf
        self.lost = 0

    def __len__(self) -> int:
        return len(self._held)

    @property
    def room(self) -> int:
        """How many more entries this consumer can start soon."""
        return self._capacity.entries - len(self._held)

    async def wait_for_room(self, stop: asyncio.Event) -> int:
        """How many entries may be read, as soon as that is a quarter of all (one read then serves
        for many), or `stop` is set (and `wake`)."""

        # One task reads, so an event is enough; a Condition can hang where its tasks are cancelled
        # together (CPython 3.11).
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
        self._held.update((one.id, one) for one in taken)
        return taken

    def let_go(self, deliveries: Iterable[Delivery]) -> None:
        """Stop holding these: they are finished, or put back."""
        for one in deliveries:
            if self._held.get(one.id) is one:
                del self._held[one.id]
                self._capacity.finished(1)
        self.wake()

    async def renew_unless_within(self, seconds: float) -> None:
        """Renew, unless that was done within so many seconds."""
        if time.monotonic() - self._renewed_at >= seconds:
            await self.renew()

    async def renew(self) -> None:
        """Renew every lease that is still ours; forget those that are not."""
        began = time.monotonic()
        refused = await self._set_idle(list(self._held.values()), 0)
        self._renewed_at = began
        # What was finished while this was asked is nobody's any more, and was not lost.
        lost = [entry_id for entry_id in refused if entry_id in self._held]
        if lost:
            self.lost += len(lost)
            log.warning("leases lost to other consumers", entries=len(lost))
            for entry_id in lost:
                self._held.pop(entry_id, None)
            self.wake()

    async def give_back(self, deliveries: Sequence[Delivery]) -> None:
        """Let others claim these at once, without waiting for the lease to end."""
        try:
            await self._set_idle(deliveries, self._lease_ms)
        except RedisError as error:
            # Nothing is lost: the leases end by themselves.
            log.warning("could not give entries back", reason=describe(error))
        self.let_go(deliveries)

    async def give_back_all(self) -> None:
        """Let others claim all that is held."""
        await self.give_back(list(self._held.values()))

    async def _set_idle(self, deliveries: Sequence[Delivery], idle_ms: int) -> list[bytes]:
        lost: list[bytes] = []
        remaining = iter(deliveries)
        while some := list(islice(remaining, RENEW_AT_ONCE)):
            lost += await self._scripts.renew(self._membership, idle_ms, some)
        return lost
