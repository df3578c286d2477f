"""What resending needs to know of the streams: whether anything is under way, or unexpanded."""

from redis.asyncio import Redis
from redis.exceptions import WatchError

from shared.streams.keys import IMAGES, RESULTS, SOURCES, Keys


async def clear_idle_in_flight(client: Redis, keys: Keys) -> None:
    """While nothing is under way no image is: what a destroyed entry left would block it."""
    streams = [keys.stream(IMAGES), keys.stream(RESULTS)]
    async with client.pipeline(transaction=True) as pipeline:
        await pipeline.watch(*streams)
        if any([await pipeline.xlen(stream) for stream in streams]):
            return
        pipeline.multi()  # type: ignore[no-untyped-call]
        pipeline.unlink(keys.in_flight)
        try:
            await pipeline.execute()
        except WatchError:
            return  # something has just been added, so there is work under way


async def sources_wait(client: Redis, keys: Keys) -> bool:
    """Whether a source waits to be expanded."""
    return bool(await client.xlen(keys.stream(SOURCES)))
