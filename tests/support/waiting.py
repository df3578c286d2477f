"""Waiting for a condition, never for an amount of time."""

import asyncio
import inspect
import time
from collections.abc import Awaitable, Callable


async def wait_until(
    condition: Callable[[], int | Awaitable[int]],
    description: str,
    timeout: float = 60,  # noqa: ASYNC109 - a plain deadline; the caller has no scope of its own
) -> None:
    """Return as soon as `condition` is true, or a number above 0; fail the test with `description`
    if it never is."""
    deadline = time.monotonic() + timeout
    while True:
        held = condition()
        if inspect.isawaitable(held):
            held = await held
        if held:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"after {timeout} s still not: {description}")
        await asyncio.sleep(0.01)
