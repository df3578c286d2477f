"""Mending the streams' state from outside of the stages, after a run that was killed."""

from typing import cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.errors import FacesError
from shared.streams.carried import messages
from shared.streams.entries import behind
from shared.streams.keys import Keys
from shared.streams.topology import StreamKind, read_by_services

PAGE = 500
LONG_AGO_MS = 10**9
NOBODY = "left-behind"


async def clear_leftovers(client: Redis, keys: Keys) -> None:
    """Drop what a run left to be done, and let what it left to be committed be committed at once.

    Only for a private server before its first consumer joins: whoever held an entry is dead, and
    nothing but `run` adds to it. The ledger knows what has not ended; the next run's own paths
    name again what of that it is to do, and what other paths named does not stand in its way.
    """
    await client.delete(keys.in_flight)
    for kind in read_by_services():
        if kind.kept_over_runs:
            await _keep_in_flight(client, keys, kind)
            await _free(client, keys.stream(kind.name))
        else:
            await _drop(client, keys, kind.name)


async def _drop(client: Redis, keys: Keys, name: str) -> None:
    stream, due = keys.stream(name), keys.due(name)
    waiting = (
        due,
        keys.waiting(name),
        keys.waiting_of_key(name),
        keys.waiting_reasons(name),
        keys.waiting_asked(name),
    )
    await client.delete(stream, keys.history(name), *waiting)
    await client.hdel(keys.bytes, stream, due)


async def _keep_in_flight(client: Redis, keys: Keys, kind: StreamKind) -> None:
    """What is left in a stream is still under way."""
    assert kind.decode is not None, "a stream that a service reads"
    async for encoded in messages(client, keys, kind.name):
        try:
            name = kind.decode(encoded).in_flight
        except FacesError:
            continue  # the service says what is wrong with it
        if name:
            await client.sadd(keys.in_flight, name)


async def _free(client: Redis, stream: str) -> None:
    """Let every pending entry be reclaimed at once; delivery counts stay as they are."""
    try:
        groups = [cast(bytes, group["name"]) for group in await client.xinfo_groups(stream)]
    except ResponseError:
        return  # no such stream yet
    for group in groups:
        after: str | None = "-"
        while after is not None:
            found = await client.xpending_range(stream, group, min=after, max="+", count=PAGE)
            page = [cast(bytes, entry["message_id"]) for entry in found]
            if not page:
                break
            await client.xclaim(stream, group, NOBODY, 0, [*page], idle=LONG_AGO_MS, justid=True)
            after = behind(page[-1])
