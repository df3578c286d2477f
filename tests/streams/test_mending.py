"""Strangers who write to Redis' keys of the suite stop nothing for good, and lose nothing else."""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, cast

import pytest
from redis.asyncio import Redis
from redis.exceptions import ResponseError

from shared.health import Health
from shared.messages import ImageMessage
from shared.streams import upkeep
from shared.streams.carried import forget_lost_in_flight
from shared.streams.dead import DeadLetters
from shared.streams.keys import DEAD, IMAGES, RESULTS, Keys
from shared.streams.later import WaitingSets
from shared.streams.mending import Mending
from shared.streams.stage import Dead, Done, Later, Outcome, Output, Retry, Work
from shared.streams.stats import read_stats
from shared.streams.topology import STREAMS
from tests.support.stages import Suite, image, result_of, running, suite_on
from tests.support.waiting import wait_until

LAST_ID = "18446744073709551615-18446744073709551615"

KEYS = Keys("faces")
BOOKKEEPING = KEYS.bookkeeping(STREAMS)
"""The registry of keys: a key that is added there is attacked here."""

AT_WORK = [key for key in BOOKKEEPING if key in KEYS.bookkeeping([IMAGES])]
"""Those that one stage uses; other streams have the same."""


async def as_garbage(client: Redis, key: str) -> None:
    """Something of the same type that nobody of us has written."""
    streams = [KEYS.stream(name) for name in STREAMS]
    fields: list[str | bytes] = [*streams, "last", "bytes", "letters", "bucket", "0-1"]
    fields += [f"{name}#{slot}" for name in streams for slot in range(16)]
    if await client.type(key) == b"hash":
        fields += cast("list[bytes]", await client.hkeys(key))  # this client decodes nothing
    async with client.pipeline(transaction=True) as pipeline:  # no service is in between
        pipeline.delete(key)
        match BOOKKEEPING[key]:
            case "hash":
                values = ("[{", "9" * 400, "-9223372036854775808", "nan", "\0", '{"m":1}', "1e309")
                pipeline.hset(
                    key, mapping={name: values[n % len(values)] for n, name in enumerate(fields)}
                )
            case "zset":
                pipeline.zadd(key, {"0-1": 0, "\xff": float("inf"), "x" * 1000: float("-inf")})
            case "set":
                pipeline.sadd(key, "", "\xff", "x" * 1000)
            case "list":
                pipeline.rpush(key, "", "\xc1", b"\x81\xa6fields\x93\xa1m\x01\xa1n")
        await pipeline.execute()


async def as_string(client: Redis, key: str) -> None:
    await client.set(key, b"\xff" * 100)


async def as_other_type(client: Redis, key: str) -> None:
    async with client.pipeline(transaction=True) as pipeline:
        pipeline.delete(key)
        if BOOKKEEPING[key] == "zset":
            pipeline.hset(key, "a", "b")
        else:
            pipeline.zadd(key, {"a": 1})
        await pipeline.execute()


Attack = Callable[[Redis, str], Awaitable[None]]
ATTACKS: tuple[Attack, ...] = (as_garbage, as_string, as_other_type)


class Bucket:
    """Pictures named `slow-...` wait for a bucket, `fails-...` fail once, `dies-...` for good."""

    def __init__(self) -> None:
        self.is_back = False
        self.failed: set[str] = set()

    async def __call__(self, works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        return [self._one(work) for work in works]

    def _one(self, work: Work[ImageMessage]) -> Outcome:
        name = work.message.name
        if name.startswith("slow") and not self.is_back:
            return Later(3600, "bucket", "it is away")
        if name.startswith("dies"):
            return Dead("it cannot be read")
        if name.startswith("fails") and name not in self.failed:
            self.failed.add(name)
            return Retry("not now")
        return Done((Output(result_of(work.message)),))


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked for every few seconds is looked for at once."""
    monkeypatch.setattr(upkeep, "SIGN_OF_LIFE_SECONDS", 0.1)


async def have_ended(suite: Suite, names: set[str]) -> bool:
    return names <= {one.name for one in await suite.results()}


async def round_of_work(suite: Suite, bucket: Bucket, key: str, attack: Attack) -> set[str]:
    """Pictures of every kind, a key attacked meanwhile; the names of those that must end."""
    sets = WaitingSets(suite.client, suite.keys, IMAGES, 100)
    kinds = ("a", "slow", "fails", "dies")
    name_of = {kind: f"{kind}-{attack.__name__}" for kind in kinds}
    bucket.is_back = False
    await suite.add_all([image(name) for name in name_of.values()])

    async def at_work() -> bool:
        return await sets.total() > 0 and name_of["fails"] in bucket.failed

    await wait_until(at_work, "some wait and some failed")
    await attack(suite.client, key)
    await read_stats(suite.client, suite.keys)
    bucket.is_back = True
    late = f"late-{attack.__name__}"
    await suite.add_all([image(late)])
    ending = {late, *name_of.values()}
    if key == KEYS.waiting(IMAGES):
        ending.remove(name_of["slow"])  # it was in that very key

    async def ended() -> bool:
        with suppress(ResponseError):  # until what is of the wrong type is mended
            await sets.bring_back("bucket")
        return await have_ended(suite, ending)

    await wait_until(ended, "all have an end")
    return ending


@pytest.mark.usefixtures("quick")
@pytest.mark.parametrize("key", AT_WORK)
async def test_whatever_is_written_over_a_key_nothing_stops_and_nothing_else_is_lost(
    key: str, redis_url: str
) -> None:
    bucket, health = Bucket(), Health()
    health.ready("start")
    async with suite_on(redis_url, lease_seconds=1) as suite:
        ended: set[str] = set()
        async with running(suite, bucket, health):
            for attack in ATTACKS:
                ended |= await round_of_work(suite, bucket, key, attack)
            await wait_until(lambda: not health.problems, "it is ready")
        letters = DeadLetters(suite.client, suite.settings)
        dead = {one.name async for one in letters.all()} - {"(unreadable)"}  # of the strange ones
        assert dead == {name for name in ended if name.startswith("dies")}
        names = [one.name for one in await suite.results()]
        assert sorted(names) == sorted(ended), "and nothing is doubled"
        await forget_lost_in_flight(suite.client, suite.keys)


@pytest.mark.parametrize("attack", ATTACKS)
async def test_every_key_of_every_stream_is_mended(attack: Attack, redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        for key in BOOKKEEPING:
            await attack(suite.client, key)
        await read_stats(suite.client, suite.keys)
        await Mending(suite.client, suite.keys).all()
        for key, kind in BOOKKEEPING.items():
            assert await suite.client.type(key) in (kind.encode(), b"none"), key
        await read_stats(suite.client, suite.keys)
        await suite.add_all([image()])
        async with running(suite):
            await wait_until(lambda: results(suite, 1), "work goes on")


async def results(suite: Suite, count: int) -> bool:
    return await suite.length(RESULTS) == count


async def test_a_stream_of_another_type_is_left_and_named(redis_url: str) -> None:
    health = Health()
    async with suite_on(redis_url) as suite:
        await suite.client.set(suite.keys.stream(IMAGES), "of somebody else")
        async with running(suite, health=health):
            told = f"{suite.keys.stream(IMAGES)}; rename or delete"
            await wait_until(lambda: told in str(health.problems), "it says which key")
            await suite.client.delete(suite.keys.stream(IMAGES))
            await suite.add_all([image()])
            await wait_until(lambda: results(suite, 1), "work goes on")


@pytest.mark.usefixtures("quick")
async def test_entries_that_a_group_was_set_past_are_read_after_all(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        stream = suite.keys.stream(IMAGES)
        await suite.add_all([image() for _ in range(3)])
        await suite.client.xgroup_create(stream, "detector", "0")
        for place in ("$", LAST_ID):
            await suite.client.xgroup_setid(stream, "detector", place)
            await suite.add_all([image()])
        async with running(suite):
            await wait_until(lambda: results(suite, 5), "all are read")


async def test_a_group_is_set_back_also_from_behind_the_last_id(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        stream = suite.keys.stream(IMAGES)
        await suite.client.xadd(stream, {"a": "b"}, id=LAST_ID)
        await suite.client.xgroup_create(stream, "detector", LAST_ID)
        standing = await Mending(suite.client, suite.keys).group(IMAGES, "detector")
        assert (standing.length, standing.set_back) == (1, True)
        [group] = await suite.client.xinfo_groups(stream)
        assert group["last-delivered-id"] == b"0-0"


@pytest.mark.usefixtures("quick")
async def test_a_group_that_is_destroyed_again_and_again_stops_nothing(redis_url: str) -> None:
    async with suite_on(redis_url) as suite, running(suite):
        await suite.add_all([image()])
        await wait_until(lambda: results(suite, 1), "it is at work")
        for n in range(1, 5):
            await suite.client.xgroup_destroy(suite.keys.stream(IMAGES), "detector")
            await suite.add_all([image()])

            async def done(count: int = n + 1) -> bool:
                return await suite.length(RESULTS) >= count

            await wait_until(done, "the next one has an end")


@pytest.mark.parametrize("count", [2**63 - 1, 2**53 + 1, 10**6])
async def test_an_absurd_count_of_deliveries_ends_as_poison(count: int, redis_url: str) -> None:
    async with suite_on(redis_url, lease_seconds=1) as suite:
        stream = suite.keys.stream(IMAGES)
        await suite.add_all([image()])
        await suite.client.xgroup_create(stream, "detector", "0")
        read = await suite.client.xreadgroup("detector", "x", {stream: ">"})
        [[_, [(entry, _)]]] = cast(Any, read)  # Any: redis-py types it for all protocols
        await suite.client.xclaim(
            stream, "detector", "x", 0, [entry], idle=10**6, retrycount=count, justid=True
        )
        async with running(suite):

            async def is_dead() -> bool:
                return await suite.length(DEAD) == 1

            await wait_until(is_dead, "it is a dead letter")
        assert (await suite.entries(DEAD))[0][b"code"] == b"poison"
