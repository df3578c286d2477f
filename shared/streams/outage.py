"""Waiting for a server that is away: the reason is told, the waits grow, nothing is given up."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from redis.exceptions import RedisError

from shared.backoff import backoff
from shared.errors import Unreachable
from shared.health import Health
from shared.metrics import AWAY_SECONDS
from shared.streams.refusals import describe

FIRST_SECONDS = 0.05
CAP_SECONDS = 2.0

T = TypeVar("T")


class Outage:
    """How one activity of a stage waits out an outage, and what its health says meanwhile.

    Each activity has its own: reading goes well while the database is away, and must neither
    call the stage ready nor begin the waits anew.
    """

    def __init__(self, stage: str, health: Health, activity: str = "") -> None:
        self._stage = stage
        self._check = f"{stage} {activity}".rstrip()
        self._health = health
        self._failures = 0

    def ready(self) -> None:
        """The servers answer."""
        self._failures = 0
        self._health.ready(self._check)

    def tell(self, reason: str) -> None:
        """Not ready, for a reason that waiting alone does not mend."""
        self._health.unready(self._check, reason)

    async def wait(
        self, error: RedisError | Unreachable, stop: asyncio.Event | None = None
    ) -> None:
        """Wait a little longer each time in a row, or until `stop` is set."""
        reason = describe(error) if isinstance(error, RedisError) else str(error)
        self._health.unready(self._check, reason)
        self._failures += 1
        delay = backoff(self._failures, FIRST_SECONDS, CAP_SECONDS)
        AWAY_SECONDS.labels(self._stage).inc(delay)
        if stop is None:
            await asyncio.sleep(delay)
            return
        with suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), delay)

    async def until_done(
        self, call: Callable[[], Awaitable[T]], stop: asyncio.Event | None = None
    ) -> T | None:
        """Call until the servers answer; None if `stop` is set first.

        Without `stop` only a cancellation ends it: that is how what is finished is handed off
        during a drain, until the drain's own limit.
        """
        while stop is None or not stop.is_set():
            try:
                answer = await call()
            except (RedisError, Unreachable) as error:
                await self.wait(error, stop)
            else:
                self.ready()
                return answer
        return None
