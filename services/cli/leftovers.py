"""What a killed run left behind in its own server: deliveries that nobody holds any more."""

from typing import cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.streams.keys import IMAGES, RESULTS, SOURCES, Keys

PAGE = 1000
LONG_AGO_MS = 10**9
NOBODY = "left-behind"


async def free_leftovers(client: Redis, keys: Keys) -> int:
    """Let every pending entry be reclaimed at once; how many there were.

    Only for a server of our own, before its first consumer joins: all others are dead, so
    there is no lease to wait for. Delivery counts stay as they are.
    """
    freed = 0
    for name in (SOURCES, IMAGES, RESULTS):
        stream = keys.stream(name)
        for group in await _groups(client, stream):
            after = "-"
            while page := await _pending(client, stream, group, after):
                await client.xclaim(
                    stream, group, NOBODY, 0, [*page], idle=LONG_AGO_MS, justid=True
                )
                freed += len(page)
                after = "(" + page[-1].decode()
    return freed


async def _groups(client: Redis, stream: str) -> list[bytes]:
    try:
        groups = await client.xinfo_groups(stream)
    except ResponseError:
        return []  # no such stream yet
    return [cast(bytes, group["name"]) for group in groups]


async def _pending(client: Redis, stream: str, group: bytes, after: str) -> list[bytes]:
    found = await client.xpending_range(stream, group, min=after, max="+", count=PAGE)
    return [cast(bytes, entry["message_id"]) for entry in found]
