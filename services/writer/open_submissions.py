"""How many submissions stay open, and for how long: what an alert wants to know of all of them."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from services.writer.metrics import OLDEST_OPEN_SECONDS, OPEN_SUBMISSIONS
from shared.catalog import Catalog
from shared.errors import FacesError
from shared.messages import now

EVERY_SECONDS = 60.0
"""The catalog looks at every submission for it: a few milliseconds for ten thousand."""


async def measure(catalog: Catalog) -> None:
    """Set the gauges.

    Raises:
        Unreachable: the database does not answer.
    """
    number, oldest = await catalog.reader.open_submissions()
    OPEN_SUBMISSIONS.set(number)
    OLDEST_OPEN_SECONDS.set((now() - oldest).total_seconds() if oldest else 0)


@asynccontextmanager
async def measured(catalog: Catalog) -> AsyncIterator[None]:
    """As long as the block lasts, the gauges are set now and then."""
    task = asyncio.create_task(_keep(catalog))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _keep(catalog: Catalog) -> None:
    while True:
        with suppress(FacesError):  # figures for people; nothing depends on them
            await measure(catalog)
        await asyncio.sleep(EVERY_SECONDS)
