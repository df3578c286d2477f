"""How the streams stand: lengths, backlogs, consumers, memory, rate. Reads only, changes nothing.

It reads right on a server where nothing was ever submitted, and on any server from Redis 6.2 on.
"""

import re
import time
from dataclasses import dataclass, field
from typing import Any, cast

from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.metrics import STREAM_ENTRIES, STREAM_LATER, STREAM_OLDEST_SECONDS
from shared.streams.dead_bounds import Shed
from shared.streams.entries import number
from shared.streams.keys import DEAD, IMAGES, RESULTS, SOURCES, Keys
from shared.streams.later import WaitingSets, WaitsFor
from shared.streams.mending_scripts import Standing
from shared.streams.replies import understood
from shared.streams.topology import STREAMS, read_by_services

STAGES = {kind.name: kind.service for kind in read_by_services()}
"""Which service's group reads which stream."""

SLOT_SECONDS = 5
WINDOW_SLOTS = 12
"""The scripts count what is finished in slots of 5 seconds; twelve of them are a minute."""

_COUNTED = re.compile(rb"(\d{1,12}) (\d{1,12})")
"""A slot and how many were finished in it, as the scripts write them."""

_STREAM_OR_NONE = (b"stream", b"none")

PENDING_READ = 10_000
"""Pending entries looked at for redeliveries; a healthy stage has far fewer."""


@dataclass(frozen=True)
class ConsumerStats:
    """One consumer of a stream's group."""

    name: str
    pending: int
    idle_seconds: float


@dataclass(frozen=True)
class StreamStats:
    """One stream. A finished entry is deleted, so `length` is waiting and pending together.

    `lag` is the server's own figure, None where it does not know it: it counts deleted entries
    and loses count when they go out of order. `rate` is entries finished a second. `later` entries
    were put off: they are not in `length`, and come back by themselves; `waits_for` says what for.
    """

    name: str
    length: int
    bytes: int
    waiting: int
    pending: int
    lag: int | None
    oldest_seconds: float
    redelivered: int
    consumers: tuple[ConsumerStats, ...]
    rate: float
    later: int = 0
    waits_for: tuple[WaitsFor, ...] = ()


@dataclass(frozen=True)
class Stats:
    """All streams at one time. `memory_max` is 0 where the server has no limit.

    `dead_bytes` is what dead letters take, and `dead_shed` what they lost at their bound.
    """

    streams: tuple[StreamStats, ...]
    dead: int
    memory_used: int
    memory_max: int
    dead_bytes: int = 0
    dead_shed: Shed = field(default_factory=Shed)

    @property
    def rate(self) -> float:
        """Images committed a second, over the last minute."""
        return self.stream(RESULTS).rate

    @property
    def eta_seconds(self) -> float | None:
        """Until the streams are empty at that rate; None where nothing moves or is known."""
        left = self.stream(IMAGES).length + self.stream(RESULTS).length
        if self.stream(SOURCES).length:
            return None  # how many images a source holds is known when it has been read
        if left == 0:
            return 0.0
        return left / self.rate if self.rate > 0 else None

    def stream(self, name: str) -> StreamStats:
        """One of them: `sources`, `images` or `results`."""
        return next(stream for stream in self.streams if stream.name == name)


async def read_stats(client: Redis, keys: Keys) -> Stats:
    """Read everything; a few commands a stream.

    Raises:
        RedisError: the server cannot be reached, or refuses.
    """
    # Any below: redis-py types the answers of all protocols at once.
    memory = await client.info("memory")
    seconds = (await client.time())[0]
    finished = await _hash(client, keys.rate)
    weights = await _hash(client, keys.bytes)
    streams = [
        await _stream(client, keys, name, group, seconds, finished, weights)
        for name, group in STAGES.items()
    ]
    dead = await _length(client, keys.stream(DEAD))
    return Stats(
        streams=tuple(streams),
        dead=dead,
        dead_bytes=_bytes(weights, keys.stream(DEAD)) if dead else 0,
        dead_shed=Shed.read(await _hash(client, keys.dead_shed)),
        memory_used=int(memory.get("used_memory", 0)),
        memory_max=int(memory.get("maxmemory", 0)),
    )


async def misplaced(client: Redis, keys: Keys) -> list[str]:
    """The keys that should be streams and hold something else."""
    names = [keys.stream(name) for name in STREAMS]
    async with client.pipeline(transaction=False) as pipeline:
        for name in names:
            pipeline.type(name)
        kinds = await pipeline.execute()
    with understood():
        pairs = list(zip(names, kinds, strict=True))
    return [name for name, kind in pairs if kind not in _STREAM_OR_NONE]


async def _stream(
    client: Redis,
    keys: Keys,
    name: str,
    group: str,
    seconds: int,
    finished: dict[bytes, bytes],
    weights: dict[bytes, bytes],
) -> StreamStats:
    key = keys.stream(name)
    length = await _length(client, key)
    told = await _group(client, key, group)
    pending = int(told.get("pending", 0))
    lag = told.get("lag", length if not told else None)
    return StreamStats(
        name=name,
        length=length,
        bytes=_bytes(weights, key) if length else 0,
        waiting=max(0, length - pending),
        pending=pending,
        lag=None if lag is None else int(lag),
        oldest_seconds=await _oldest(client, key, seconds) if length else 0.0,
        redelivered=await _redelivered(client, key, group) if pending else 0,
        later=await _later(client, keys, name),
        waits_for=await _waits_for(client, keys, name),
        consumers=await _consumers(client, key, group) if told else (),
        rate=_rate(key, seconds, finished),
    )


async def _hash(client: Redis, key: str) -> dict[bytes, bytes]:
    try:
        # redis-py types the answer for all protocols at once; with protocol 2 it is this.
        return cast("dict[bytes, bytes]", await client.hgetall(key))
    except ResponseError:
        return {}  # something else is there; figures for people are not worth more


def _bytes(weights: dict[bytes, bytes], key: str) -> int:
    """What a stream weighs, as far as its counter is one."""
    return number(weights.get(key.encode()))


async def _later(client: Redis, keys: Keys, name: str) -> int:
    try:
        return int(await client.zcard(keys.due(name)))
    except ResponseError:
        return 0  # as above; the services mend it


async def _waits_for(client: Redis, keys: Keys, name: str) -> tuple[WaitsFor, ...]:
    try:
        return tuple(await WaitingSets(client, keys, name, bound=0).by_key())
    except ResponseError:
        return ()  # as above


async def _length(client: Redis, key: str) -> int:
    try:
        return int(await client.xlen(key))
    except ResponseError:
        return 0  # the key holds something else: whoever wants to add to it says so


async def _group(client: Redis, key: str, group: str) -> dict[str, Any]:
    """What the server says of a group; empty where there is no stream or no group yet."""
    try:
        groups = await client.xinfo_groups(key)
    except ResponseError:
        return {}
    return next((told for told in groups if told["name"] == group.encode()), {})


async def _consumers(client: Redis, key: str, group: str) -> tuple[ConsumerStats, ...]:
    try:
        told = await client.xinfo_consumers(key, group)
    except ResponseError:
        return ()
    return tuple(
        ConsumerStats(one["name"].decode(errors="replace"), one["pending"], one["idle"] / 1000)
        for one in sorted(told, key=lambda one: one["name"])
    )


async def _oldest(client: Redis, key: str, seconds: int) -> float:
    found = cast("list[tuple[bytes, object]]", await client.xrange(key, count=1) or [])
    if not found:
        return 0.0
    return max(0.0, seconds - int(found[0][0].split(b"-")[0]) / 1000)


async def _redelivered(client: Redis, key: str, group: str) -> int:
    """Pending entries that were delivered more than once."""
    after, seen, count = "-", 0, 0
    while seen < PENDING_READ:
        try:
            page = cast(
                "list[dict[str, Any]]",
                await client.xpending_range(key, group, min=after, max="+", count=1000),
            )
        except ResponseError:
            return count
        if not page:
            break
        seen += len(page)
        count += sum(entry["times_delivered"] > 1 for entry in page)
        after = "(" + page[-1]["message_id"].decode()
    return count


def _rate(key: str, seconds: int, finished: dict[bytes, bytes]) -> float:
    """Entries finished a second over the last minute, or since the first of them in it."""
    now = seconds // SLOT_SECONDS
    counts: dict[int, int] = {}
    for name, value in finished.items():
        written = _COUNTED.fullmatch(value)  # anything else was not written by the scripts
        if written and name.rpartition(b"#")[0] == key.encode():
            slot, count = map(int, written.groups())
            if now - WINDOW_SLOTS < slot <= now:
                counts[slot] = count
    if not counts:
        return 0.0
    return sum(counts.values()) / max(1, seconds - min(counts) * SLOT_SECONDS)


def measure(stage: str, standing: Standing) -> None:
    """Set the gauges of a stage's input stream; a finished entry is deleted, so length is exact."""
    STREAM_ENTRIES.labels(stage).set(standing.length)
    STREAM_LATER.labels(stage).set(standing.later)
    age = time.time() - standing.first_ms / 1000 if standing.first_ms >= 0 else 0.0
    STREAM_OLDEST_SECONDS.labels(stage).set(max(0.0, age))
