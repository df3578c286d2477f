"""What a service says of itself: alive, ready, why not. `shared.http_port` tells it over HTTP."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager

import structlog

from shared.errors import Unreachable
from shared.printing import without_words

CHECK_SECONDS = 2.0
"""How often a server is asked for a sign of life."""

CHECK_LIMIT_SECONDS = 6.0
"""A server that has not answered by then is away; a check may have a shorter limit of its own."""

STARTING = "starting"
UNANSWERED = "has not answered yet"
UNTOLD = (None, STARTING, UNANSWERED)
"""Reasons that nobody needs to be told of: every start has them."""

Check = Callable[[], Awaitable[object]]
"""Asks a server for a sign of life; raises Unreachable where there is none."""

log = structlog.get_logger()


class Health:
    """Reasons not to be ready, each under a name, and checks of being alive.

    A service is ready when nothing speaks against it. It is alive when its event loop turns
    (or it could not answer) and every registered check holds; servers that are away never count,
    since restarting this process would not bring them back.
    """

    def __init__(self) -> None:
        self._unready: dict[str, str] = {"start": STARTING}
        self._alive: dict[str, Callable[[], str | None]] = {}

    def unready(self, name: str, reason: str) -> None:
        """Say why work cannot be done now; logged when the reason is new."""
        if self._unready.get(name) != reason:
            log.warning("not ready", check=name, reason=reason)
        self._unready[name] = reason

    def starting(self, name: str) -> None:
        """Not ready until `ready` is called for this name; not logged."""
        self._unready[name] = STARTING

    def ready(self, name: str) -> None:
        """Take the reason of this name back."""
        if self._unready.pop(name, None) not in UNTOLD:
            log.info("ready again", check=name)

    def watch(self, name: str, check: Callable[[], str | None]) -> None:
        """Register a check of being alive: it returns None, or what is wrong."""
        self._alive[name] = check

    @asynccontextmanager
    async def needs(
        self, servers: Mapping[str, Check], every: float = CHECK_SECONDS
    ) -> AsyncIterator[None]:
        """While the block runs, be ready only as long as each of these servers answers.

        Each has to answer once first: a service that never reached its server must not replace
        one that does. They are asked `every` so many seconds, also when there is nothing to do.
        """
        for name in servers:
            self._unready[name] = UNANSWERED
        asking = [
            asyncio.create_task(self._ask(name, check, every)) for name, check in servers.items()
        ]
        try:
            yield
        finally:
            for task in asking:
                task.cancel()
            await asyncio.gather(*asking, return_exceptions=True)

    async def _ask(self, name: str, check: Check, every: float) -> None:
        while True:
            try:
                async with asyncio.timeout(CHECK_LIMIT_SECONDS):
                    await check()
            except Unreachable as error:
                self.unready(name, str(error))
            except TimeoutError:
                self.unready(name, f"does not answer within {CHECK_LIMIT_SECONDS:g} s")
            except Exception as error:  # noqa: BLE001 - a bug must neither end it nor pass for health
                log.error("a check failed", check=name, exception=without_words(error))
                self.unready(name, f"the check failed: {type(error).__name__}; the log has where")
            else:
                self.ready(name)
            await asyncio.sleep(every)

    @property
    def problems(self) -> dict[str, str]:
        """Why this service is not ready; empty when it is."""
        return dict(self._unready)

    @property
    def failures(self) -> dict[str, str]:
        """What has failed for good; empty when this service is alive."""
        return {name: wrong for name, check in self._alive.items() if (wrong := check())}
