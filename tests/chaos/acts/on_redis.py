"""Acts on Redis: on its server, on its connections, and on what it takes."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import cast

from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from tests.chaos.acts.act import Act, Event, Needs
from tests.chaos.suite import Suite
from tests.support.sentinel import LIMIT_SECONDS
from tests.support.waiting import wait_until

FAILOVER_LIMIT = 15.0
"""Seconds from the death of the primary to the next committed row."""


@asynccontextmanager
async def restarted(suite: Suite, _: Event) -> AsyncIterator[None]:
    """SIGKILL, and a start from the append-only file."""
    server = suite.redis.servers[await suite.redis.primary()]
    server.kill()
    yield
    await asyncio.to_thread(server.start)


@asynccontextmanager
async def cut(suite: Suite, _: Event) -> AsyncIterator[None]:
    """Every connection ends."""
    for proxy in suite.redis.proxies:
        proxy.cut_all()
    yield


@asynccontextmanager
async def reply_lost(suite: Suite, _: Event) -> AsyncIterator[None]:
    """Redis does the next script, and its answer is lost."""
    suite.redis.proxies[await suite.redis.primary()].lose_next_reply_to(b"EVALSHA")
    yield


@asynccontextmanager
async def delayed(suite: Suite, _: Event) -> AsyncIterator[None]:
    """Everything to and from Redis is held up for a moment."""
    for proxy in suite.redis.proxies:
        proxy.delay = 0.05
    yield
    for proxy in suite.redis.proxies:
        proxy.delay = 0.0


@asynccontextmanager
async def unable_to_save(suite: Suite, _: Event) -> AsyncIterator[None]:
    """MISCONF: a snapshot cannot be written, as on a full volume, and writes are refused."""
    number = await suite.redis.primary()
    snapshot = suite.redis.servers[number].folder / "dump.rdb"
    client = suite.redis.client(number)
    try:
        snapshot.unlink(missing_ok=True)
        snapshot.mkdir()
        await client.config_set("save", "3600 1000000000")
        await _save(client, "err")
        yield
        snapshot.rmdir()
        await _save(client, "ok")
        await client.config_set("save", "")
    finally:
        await client.aclose()
        _remove(snapshot)


def _remove(snapshot: Path) -> None:
    """Whatever is in the place of the snapshot goes: only the append-only file is read again."""
    if snapshot.is_dir():
        shutil.rmtree(snapshot)


async def _save(client: Redis, wanted: str) -> None:
    """Snapshots are taken until one ends so."""

    async def ended_so() -> bool:
        told = await client.info("persistence")
        if not told["rdb_bgsave_in_progress"] and told["rdb_last_bgsave_status"] != wanted:
            with suppress(ResponseError):  # the append-only file is being rewritten
                await client.bgsave()
        return bool(told["rdb_last_bgsave_status"] == wanted)

    await wait_until(ended_so, f"a snapshot ends as {wanted}")


@asynccontextmanager
async def without_replicas(suite: Suite, _: Event) -> AsyncIterator[None]:
    """NOREPLICAS: more replicas are asked for than there are, and writes are refused."""
    client = suite.redis.client(await suite.redis.primary())
    try:
        await client.config_set("min-replicas-to-write", 2)
        yield
        await client.config_set("min-replicas-to-write", 0)
    finally:
        await client.aclose()


@asynccontextmanager
async def busy(suite: Suite, _: Event) -> AsyncIterator[None]:
    """BUSY: somebody's script runs on and on."""
    client = suite.redis.client(await suite.redis.primary())
    other = suite.redis.client(await suite.redis.primary())
    try:
        await client.config_set("lua-time-limit", 100)
        endless = asyncio.create_task(_run_on_and_on(client))
        yield
        await wait_until(lambda: _killed(other), "the script was killed")
        await endless
    finally:
        await client.aclose()
        await other.aclose()


async def _run_on_and_on(client: Redis) -> None:
    with suppress(RedisError):  # it is told that it was killed
        # Redis awaits; redis-py's type also covers the client that does not.
        await cast("Awaitable[str]", client.eval("while true do end", 0))


async def _killed(client: Redis) -> bool:
    try:
        await client.script_kill()
    except ResponseError as error:  # by a Sentinel already
        return "NOTBUSY" in str(error)
    except RedisError:
        return False
    return True


@asynccontextmanager
async def failed_over(suite: Suite, _: Event) -> AsyncIterator[None]:
    """SIGKILL the primary; the Sentinels make the replica the primary."""
    dead = await suite.redis.primary()
    alive = 1 - dead
    await suite.redis.in_step(alive)
    suite.redis.servers[dead].kill()
    yield
    promoted = suite.redis.client(alive)

    async def is_promoted() -> bool:
        role = await promoted.role()
        return bool(role[0] == b"master") and await suite.redis.primary() == alive

    try:
        await wait_until(is_promoted, "the replica is the primary", LIMIT_SECONDS)
    finally:
        await promoted.aclose()


ACTS = (
    Act("restart redis", restarted, seconds=(0.2, 0.6), brief=True),
    Act("cut", cut, outage=False),
    Act("lose reply", reply_lost, outage=False),
    Act("delay", delayed, seconds=(1.0, 1.0), outage=False),
    Act("redis cannot save", unable_to_save, seconds=(1.0, 2.5), brief=True),
    Act("redis lacks replicas", without_replicas, seconds=(1.5, 4.0)),
    Act("redis is busy", busy, seconds=(0.5, 0.9), brief=True),
    Act(
        "failover",
        failed_over,
        needs=Needs.SENTINEL,
        limit=FAILOVER_LIMIT,
        brief=True,
        from_the_break=True,
    ),
)
