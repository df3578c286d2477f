"""Mending the streams' state from outside of the stages: after a killed run, after a lost Redis."""

import json
from collections.abc import AsyncIterator
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.errors import FacesError
from shared.streams.entries import MESSAGE_FIELD
from shared.streams.keys import Keys
from shared.streams.remedies import Remedies
from shared.streams.topology import StreamKind, carrying_images, read_by_services

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


async def forget_lost_in_flight(client: Redis, keys: Keys) -> bool:
    """While nothing is under way no image is in flight: what a destroyed entry left there would
    keep its image from ever being added again. Whether that was so."""
    return await Remedies(client, keys).forget_in_flight(carrying_images())


async def waits(client: Redis, keys: Keys, name: str) -> bool:
    """Whether anything is in a stream, or was put off from it."""
    return bool(await client.xlen(keys.stream(name)) or await client.zcard(keys.due(name)))


async def _drop(client: Redis, keys: Keys, name: str) -> None:
    stream, due = keys.stream(name), keys.due(name)
    waiting = (due, keys.waiting(name), keys.waiting_of_key(name), keys.waiting_reasons(name))
    await client.delete(stream, keys.history(name), *waiting)
    await client.hdel(keys.bytes, stream, due)


async def _keep_in_flight(client: Redis, keys: Keys, kind: StreamKind) -> None:
    """What is left in a stream is still under way."""
    assert kind.decode is not None, "a stream that a service reads"
    async for encoded in _messages(client, keys, kind.name):
        try:
            name = kind.decode(encoded).in_flight
        except FacesError:
            continue  # the service says what is wrong with it
        if name:
            await client.sadd(keys.in_flight, name)


async def _messages(client: Redis, keys: Keys, name: str) -> AsyncIterator[bytes]:
    """The messages of a stream, and those that were put off from it."""
    after = "-"
    while True:
        answer = await client.xrange(keys.stream(name), after, "+", count=PAGE)
        # redis-py types the answer for all protocols at once; with protocol 2 it is this.
        page = cast("list[tuple[bytes, dict[bytes, bytes]]]", answer or [])
        for _, fields in page:
            yield fields.get(MESSAGE_FIELD, b"")
        if len(page) < PAGE:
            break
        after = "(" + page[-1][0].decode()
    for waiting in cast("list[bytes]", await client.hvals(keys.waiting(name))):
        yield str(json.loads(waiting)["m"]).encode()


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
