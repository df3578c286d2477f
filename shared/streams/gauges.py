"""Figures about a stage's input stream, as each of its consumers sees them."""

import time
from typing import cast

from redis.asyncio import Redis

from shared.metrics import STREAM_ENTRIES, STREAM_OLDEST_SECONDS
from shared.streams.entries import delivery


async def measure(client: Redis, stage: str, stream: str) -> None:
    """Set the gauges of length and oldest age; a finished entry is deleted, so length is exact."""
    async with client.pipeline(transaction=False) as pipeline:
        pipeline.xlen(stream)
        pipeline.xrange(stream, count=1)
        length, first = await pipeline.execute()
    STREAM_ENTRIES.labels(stage).set(length)
    # redis-py types the answer for all protocols at once; with protocol 2 it is this.
    oldest = cast("list[tuple[bytes, dict[bytes, bytes]]]", first or [])
    age = 0.0
    if oldest:
        added_ms = delivery(*oldest[0]).added_ms
        age = max(0.0, time.time() - added_ms / 1000)
    STREAM_OLDEST_SECONDS.labels(stage).set(age)
