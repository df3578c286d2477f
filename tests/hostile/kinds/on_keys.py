"""Keys beside the streams, edited or exchanged for another type; groups that are destroyed."""

from collections.abc import Awaitable
from typing import cast

from redis.exceptions import ResponseError

from shared.streams.keys import DEAD, IMAGES, RESULTS, SOURCES
from shared.streams.topology import read_by_services
from tests.hostile.reach import Kind, Reach

GARBAGE = (b"[{", b"\xff", b"null", b'[["a"]]', b"[" * 10_000, b"9" * 500, b"-1", b"NaN", b"")


async def _run(reach: Reach, *command: str | bytes) -> None:
    # redis-py: it has no types.
    await cast("Awaitable[object]", reach.client.execute_command(*command))  # type: ignore[no-untyped-call]
    reach.did()


def _names(reach: Reach) -> list[str]:
    """The keys beside the streams, apart from what is in flight."""
    keys = reach.keys
    names = [keys.bytes, keys.rate, keys.dead_shed]
    for stream in (SOURCES, IMAGES, RESULTS):
        names += [keys.history(stream), keys.waiting(stream), keys.waiting_of_key(stream)]
        names += [keys.waiting_reasons(stream), keys.due(stream), keys.waiting_asked(stream)]
    return names


async def histories(reach: Reach) -> None:
    """Failed attempts that nobody made, of an entry that there is."""
    stream = reach.chance.choice((SOURCES, IMAGES, RESULTS))
    entry = await reach.add(stream, b"{}")
    name = reach.keys.history(stream)
    await reach.client.hset(name, entry, reach.chance.choice(GARBAGE))


async def counters(reach: Reach) -> None:
    """The bytes of a stream, counted otherwise, or what is no number at all."""
    stream = reach.keys.stream(reach.chance.choice((SOURCES, IMAGES, RESULTS, DEAD)))
    value = reach.chance.choice((*GARBAGE, b"99999999999", b"-99999999999", b"1e400"))
    await _run(reach, "HSET", reach.keys.bytes, stream, value)


async def rates(reach: Reach) -> None:
    """Counts of what was finished that are none."""
    await _run(reach, "HSET", reach.keys.rate, reach.chance.choice(GARBAGE), b"x")


async def in_flight(reach: Reach) -> None:
    """Images in flight that nobody sent."""
    await _run(reach, "SADD", reach.keys.in_flight, reach.chance.choice(GARBAGE))


async def other_types(reach: Reach) -> None:
    """A key that is exchanged for a string."""
    name = reach.chance.choice(_names(reach))
    await _run(reach, "SET", name, reach.chance.choice(GARBAGE))


async def groups(reach: Reach) -> None:
    """A group that is destroyed."""
    kind = reach.chance.choice(read_by_services())
    try:
        await _run(reach, "XGROUP", "DESTROY", reach.keys.stream(kind.name), kind.service)
    except ResponseError:  # there is no stream yet
        reach.did()


KINDS = {
    "histories": Kind(histories),
    "counters": Kind(counters, most=60),
    "rates": Kind(rates, most=60),
    "in flight": Kind(in_flight, most=60),
    "keys of another type": Kind(other_types, most=60),
    "groups destroyed": Kind(groups, most=10),
}
