"""Ingest as a stage: a step of each source at a time, so that submissions take turns."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.ingest.expand import Ingest, failed
from services.ingest.sources.registry import Sources
from shared.catalog import Catalog
from shared.health import Health
from shared.messages import SourceMessage
from shared.settings import Settings
from shared.streams.away import Away
from shared.streams.client import connect
from shared.streams.keys import IMAGES, SOURCES, Keys
from shared.streams.later import WaitingSets
from shared.streams.runner import Stage, open_stage_of
from shared.streams.stage import StageSpec

CONCURRENCY = 8
"""Steps under way. While it is found out that one bucket is silent, others are listed."""

SHARE = CONCURRENCY // 2
"""Most of them that need the same bucket or volume."""


@asynccontextmanager
async def open_stage(settings: Settings, health: Health) -> AsyncIterator[Stage[SourceMessage]]:
    """Ingest with its connections; closed when the block ends."""
    client = connect(settings.redis_url)
    catalog = await Catalog.open(settings.database_url.get_secret_value())
    keys, bound = Keys(settings.prefix), settings.high_water
    away = Away(WaitingSets(client, keys, SOURCES, bound))
    images = WaitingSets(client, keys, IMAGES, bound)
    ingest = Ingest(catalog.ledger, Sources(settings), away, images, SHARE)
    spec = StageSpec(
        name="ingest",
        stream=SOURCES,
        decode=SourceMessage.decode,
        handle=ingest.handle,
        failed=failed,
        concurrency=CONCURRENCY,
    )
    try:
        async with (
            health.needs({"database": catalog.check}),
            open_stage_of(spec, settings, health, client) as stage,
        ):
            yield stage
    finally:
        await away.close()
        await catalog.close()
        await client.aclose()
