"""Ingest as a stage: it reads `sources` one entry at a time, so that submissions take turns."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.ingest.expand import Ingest, failed
from services.ingest.sources.registry import Sources
from shared.catalog import Catalog
from shared.health import Health
from shared.messages import SourceMessage
from shared.settings import Settings
from shared.streams.client import connect
from shared.streams.keys import SOURCES
from shared.streams.runner import Stage, open_stage_of
from shared.streams.stage import StageSpec


@asynccontextmanager
async def open_stage(settings: Settings, health: Health) -> AsyncIterator[Stage[SourceMessage]]:
    """Ingest with its connections; closed when the block ends."""
    client = connect(settings.redis_url)
    catalog = await Catalog.open(settings.database_url.get_secret_value())
    ingest = Ingest(catalog.ledger, Sources(settings))
    spec = StageSpec(
        name="ingest",
        stream=SOURCES,
        decode=SourceMessage.decode,
        handle=ingest.handle,
        failed=failed,
    )
    try:
        async with open_stage_of(spec, settings, health, client) as stage:
            yield stage
    finally:
        await catalog.close()
        await client.aclose()
