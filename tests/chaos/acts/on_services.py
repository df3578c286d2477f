"""Acts on the processes of services."""

import asyncio
import signal
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.chaos.acts.act import Act, Event
from tests.chaos.suite import LEASE_SECONDS, Suite


@asynccontextmanager
async def killed(suite: Suite, event: Event) -> AsyncIterator[None]:
    """SIGKILL; another takes its place."""
    service = suite.services[event.target]
    service.send(signal.SIGKILL)
    await asyncio.to_thread(service.wait, 5)
    service.start()
    yield


@asynccontextmanager
async def terminated(suite: Suite, event: Event) -> AsyncIterator[None]:
    """SIGTERM; it drains, and another takes its place."""
    service = suite.services[event.target]
    service.send(signal.SIGTERM)
    await asyncio.to_thread(service.wait, 20)
    service.start()
    yield


@asynccontextmanager
async def frozen(suite: Suite, event: Event) -> AsyncIterator[None]:
    """SIGSTOP for longer than its lease, then SIGCONT."""
    service = suite.services[event.target]
    service.send(signal.SIGSTOP)
    yield
    service.send(signal.SIGCONT)


ACTS = (
    Act("kill", killed, outage=False, on_service=True),
    Act("terminate", terminated, outage=False, on_service=True),
    Act(
        "freeze",
        frozen,
        seconds=(1.5 * LEASE_SECONDS, 1.5 * LEASE_SECONDS),
        outage=False,
        on_service=True,
    ),
)
