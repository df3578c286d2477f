"""Waiting for a server that is away: the reason is told, the waits grow, nothing is given up.

Whatever a stage asks of Redis, it asks through one of these, so that no refusal, of whatever kind,
ends a task: `attempt` for one step of a loop, `until_done` for what must be done before anything
else, `keep` for what is done again and again.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

import structlog
from redis.exceptions import RedisError

from shared.backoff import backoff
from shared.errors import Unreachable
from shared.health import Health
from shared.metrics import AWAY_SECONDS
from shared.streams.cancellation import happens_within, is_cancelled, unless
from shared.streams.refusals import describe

FIRST_SECONDS = 0.05
CAP_SECONDS = 2.0

_counted_until: dict[str, float] = {}
"""Of each stage, up to when its waits are counted: a second in which all workers wait is one."""

T = TypeVar("T")

log = structlog.get_logger()


class Outage:
    """How one activity of a stage waits out an outage, and what its health says meanwhile.

    Each activity has its own: reading goes well while the database is away, and must neither
    call the stage ready nor begin the waits anew.
    """

    def __init__(self, stage: str, health: Health | None, activity: str = "") -> None:
        """Without `health` no work depends on this activity: its trouble is only logged."""
        self._stage = stage
        self._check = f"{stage} {activity}".rstrip()
        self._health = health
        self._failures = 0
        self._logged = ""

    def ready(self) -> None:
        """The servers answer."""
        self._failures = 0
        self._logged = ""
        if self._health is not None:
            self._health.ready(self._check)

    def tell(self, reason: str) -> None:
        """Not ready, for a reason that waiting alone does not mend."""
        if self._health is not None:
            self._health.unready(self._check, reason)
        elif self._logged != reason:
            log.warning("cannot be done now", activity=self._check, reason=reason)
            self._logged = reason

    async def wait(
        self, error: RedisError | Unreachable, stop: asyncio.Event | None = None
    ) -> None:
        """Wait a little longer each time in a row, or until `stop` is set.

        Raises:
            CancelledError: the task was cancelled, also where a library has swallowed that.
        """
        if is_cancelled():
            raise asyncio.CancelledError
        self.tell(describe(error) if isinstance(error, RedisError) else str(error))
        self._failures += 1
        delay = backoff(self._failures, FIRST_SECONDS, CAP_SECONDS)
        self._count(delay)
        if stop is None:
            await asyncio.sleep(delay)
        else:
            await happens_within(stop, delay)

    def _count(self, delay: float) -> None:
        """Count a wait that begins now, as far as no other of the stage covers it."""
        now = time.monotonic()
        counted_until = max(now, _counted_until.get(self._stage, now))
        if now + delay > counted_until:
            AWAY_SECONDS.labels(self._stage).inc(now + delay - counted_until)
            _counted_until[self._stage] = now + delay

    async def attempt(
        self, call: Callable[[], Awaitable[T]], stop: asyncio.Event | None = None
    ) -> T | None:
        """Call once; None where the servers did not do it, after a wait."""
        try:
            answer = await call()
        except (RedisError, Unreachable) as error:
            await self.wait(error, stop)
            return None
        self.ready()
        return answer

    async def until_done(
        self, call: Callable[[], Awaitable[T]], stop: asyncio.Event | None = None
    ) -> T | None:
        """Call until the servers answer; None if `stop` is set first, which ends the call.

        Without `stop` only a cancellation ends it: that is how what is finished is handed off
        during a drain, until the drain's own limit.
        """
        while stop is None or not stop.is_set():
            try:
                answer = await (call() if stop is None else unless(stop, call))
            except (RedisError, Unreachable) as error:
                await self.wait(error, stop)
            else:
                if stop is None or not stop.is_set():
                    self.ready()
                return answer
        return None

    async def keep(self, call: Callable[[], Awaitable[object]], seconds: float) -> None:
        """Call for ever: so many seconds after each answer, sooner after a failure."""
        while not is_cancelled():
            try:
                await call()
            except (RedisError, Unreachable) as error:
                await self.wait(error)
            else:
                self.ready()
                await asyncio.sleep(seconds)
