"""Waits that never lose a cancellation, as `asyncio.wait_for` of Python 3.11 may."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

T = TypeVar("T")


async def happens_within(event: asyncio.Event, seconds: float) -> bool:
    """Wait until an event is set, for so many seconds at most; whether it is."""
    with suppress(TimeoutError):
        async with asyncio.timeout(seconds):
            await event.wait()
    return event.is_set()


def is_cancelled() -> bool:
    """Whether this task was asked to end, also where a library has swallowed that.

    Loops that only a cancellation ends ask this each time, and so do end.
    """
    task = asyncio.current_task()
    return task is not None and task.cancelling() > 0


async def unless(stop: asyncio.Event, call: Callable[[], Awaitable[T]]) -> T | None:
    """What a call answers; None, and the call cancelled, if `stop` is set before."""
    calling = asyncio.ensure_future(call())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait((calling, stopping), return_when=asyncio.FIRST_COMPLETED)
        return calling.result() if calling.done() else None
    finally:
        calling.cancel()
        stopping.cancel()
        await asyncio.gather(calling, stopping, return_exceptions=True)
