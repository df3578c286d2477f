"""What an earlier run left in its own server: results are kept, work is named anew by this run.

Only for a private server before its first consumer joins: whoever held an entry is dead, and
nothing but `run` adds to it. The ledger knows what has not ended; this run's own paths name again
what of that it is to do, and what other paths named does not stand in its way.
"""

from typing import cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.errors import FacesError
from shared.messages import decode_result
from shared.streams.entries import MESSAGE_FIELD
from shared.streams.keys import IMAGES, RESULTS, SOURCES, Keys

PAGE = 500
LONG_AGO_MS = 10**9
NOBODY = "left-behind"


async def clear_leftovers(client: Redis, keys: Keys) -> None:
    """Drop sources and images that wait, and let results that wait be committed at once."""
    for name in (SOURCES, IMAGES):
        stream = keys.stream(name)
        await client.delete(stream, keys.history(name))
        await client.hdel(keys.bytes, stream)
    await client.delete(keys.in_flight)
    await _keep_in_flight(client, keys)
    await _free(client, keys.stream(RESULTS))


async def _keep_in_flight(client: Redis, keys: Keys) -> None:
    """Images whose result waits for its commit are still under way, and no others."""
    after = "-"
    while True:
        answer = await client.xrange(keys.stream(RESULTS), after, "+", count=PAGE)
        page = cast("list[tuple[bytes, dict[bytes, bytes]]]", answer or [])
        for _, fields in page:
            try:
                flight = decode_result(fields[MESSAGE_FIELD]).in_flight
            except (FacesError, KeyError):
                continue  # the writer says what is wrong with it
            if flight:
                await client.sadd(keys.in_flight, flight)
        if len(page) < PAGE:
            return
        after = "(" + page[-1][0].decode()


async def _free(client: Redis, stream: str) -> None:
    """Let every pending entry be reclaimed at once; delivery counts stay as they are."""
    try:
        groups = [cast(bytes, group["name"]) for group in await client.xinfo_groups(stream)]
    except ResponseError:
        return  # no such stream yet
    for group in groups:
        after = "-"
        while True:
            found = await client.xpending_range(stream, group, min=after, max="+", count=PAGE)
            page = [cast(bytes, entry["message_id"]) for entry in found]
            if not page:
                break
            await client.xclaim(stream, group, NOBODY, 0, [*page], idle=LONG_AGO_MS, justid=True)
            after = "(" + page[-1].decode()
