"""Many calls at once, of which nothing is left when one of them fails."""

import asyncio
from collections.abc import Awaitable, Callable, Iterable
from typing import TypeVar

A = TypeVar("A")
T = TypeVar("T")


async def each(call: Callable[[A], Awaitable[T]], of: Iterable[A], at_once: int) -> list[T]:
    """What `call` answers of each, in order; so many are under way at a time.

    `asyncio.gather` lets the others go on when one has failed. Whoever then tries all of them again
    would have every try's on top of each other, with all that they hold in memory.

    Raises:
        Whatever the first that failed raised, when the others were cancelled and have ended.
    """
    gate = asyncio.Semaphore(at_once)

    async def one(argument: A) -> T:
        async with gate:
            return await call(argument)

    tasks = [asyncio.create_task(one(argument)) for argument in of]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        tasks.clear()  # an error would hold this frame, and by way of its task itself
