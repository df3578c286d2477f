"""Slots as the settings ask for them: ready, or starting while something else is done."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from services.detector.pipe import Config
from services.detector.slots import Slots, open_slots
from shared.cpu import usable_cpus
from shared.settings import Settings

PAGES_SHARE = 0.5
"""Part of a picture's time limit in which pages are searched. The rest is for opening, for the page
at work when that ends, and for what shows the faces."""


def slot_config(settings: Settings) -> Config:
    """What the settings mean to a child process."""
    return Config(
        model=settings.model,
        models_dir=settings.models_dir,
        memory_bytes=settings.slot_memory_bytes,
        max_pixels=settings.max_pixels,
        max_file_bytes=settings.max_file_bytes,
        pages_seconds=settings.task_timeout_seconds * PAGES_SHARE,
        cell_required=settings.cell_required,
    )


def ready_slots(settings: Settings) -> AbstractAsyncContextManager[Slots]:
    """Slots that are ready; errors as `open_slots`."""
    count = settings.slots or usable_cpus()
    return open_slots(slot_config(settings), count, settings.task_timeout_seconds)


@asynccontextmanager
async def starting_slots(settings: Settings) -> AsyncIterator[asyncio.Task[Slots]]:
    """Slots that start now, and are ready when the task is done; it raises what prevents them.

    A process needs half a second to load what it needs, in which its parent may do the same.
    """
    async with AsyncExitStack() as opened:
        starting = asyncio.create_task(opened.enter_async_context(ready_slots(settings)))
        try:
            yield starting
        finally:
            starting.cancel()
            await asyncio.gather(starting, return_exceptions=True)
