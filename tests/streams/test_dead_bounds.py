"""Dead letters are bounded: the oldest lose their bytes, then go, and every count stays exact."""

import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import cast

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis.typing import EncodableT, FieldT

from shared.messages import ImageMessage, Payload
from shared.settings import Settings
from shared.streams.dead import DeadLetter, DeadLetters
from shared.streams.dead_bounds import DeadBounds, Shed
from shared.streams.high_water import UNLIMITED, HighWaterMark, HighWaterMarks
from shared.streams.keys import DEAD, IMAGES, RESULTS
from shared.streams.stage import Dead, Outcome, Work
from shared.streams.stats import Stats, read_stats
from shared.streams.topology import STREAMS
from tests.support.entries import entries_in
from tests.support.stages import Suite, image, running, suite_on
from tests.support.waiting import wait_until

SIZE = 10_000


async def die(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
    return [Dead("never") for _ in works]


@asynccontextmanager
async def dead_pictures(
    url: str, count: int, **overrides: int
) -> AsyncIterator[tuple[Suite, list[ImageMessage]]]:
    """A suite in which so many pictures that were sent along became dead letters, one by one."""
    async with suite_on(url, **overrides) as suite:
        pictures = []
        async with running(suite, die):
            for number in range(count):
                pictures.append(await suite.add_with_body(bytes(SIZE)))

                async def has_died(died: int = number + 1) -> bool:
                    return await suite.length(RESULTS) == died

                await wait_until(has_died, "it is a dead letter")
        yield suite, pictures


async def letters_of(suite: Suite) -> list[DeadLetter]:
    return [one async for one in DeadLetters(suite.client, suite.settings).all()]


async def weighed(suite: Suite) -> int:
    """What the letters weigh, each counted from what is there."""
    found = await letters_of(suite)
    return sum(one.weight_without_bytes if one.bytes_gone else one.weight for one in found)


async def stats_of(suite: Suite) -> Stats:
    return await read_stats(suite.client, suite.keys)


async def test_at_the_bound_in_number_the_oldest_letter_goes_with_its_bytes(redis_url: str) -> None:
    async with dead_pictures(redis_url, 5, dead_letters=3) as (suite, pictures):
        kept = [one.encoded for one in await letters_of(suite)]
        assert kept == [one.encode() for one in pictures[2:]]
        assert len(await suite.client.keys("*:body:*")) == 3
        assert len(await suite.results()) == 5, "their rows end as failed all the same"
        assert (await stats_of(suite)).dead_shed.gone == 2
        assert await suite.bytes_held(DEAD) == await weighed(suite)


async def test_at_the_bound_in_bytes_the_oldest_lose_their_bytes_and_stay(redis_url: str) -> None:
    bound = 3 * SIZE + SIZE // 2
    async with dead_pictures(redis_url, 5, high_water_bytes=8 * bound) as (suite, _):
        assert [one.bytes_gone for one in await letters_of(suite)] == [True] * 2 + [False] * 3
        assert await suite.bytes_held(DEAD) == await weighed(suite) <= bound
        stats = await stats_of(suite)
        assert (stats.dead, stats.dead_shed.stripped, stats.dead_shed.gone) == (5, 2, 0)
        assert stats.dead_bytes == await weighed(suite)


async def test_where_that_is_not_enough_the_oldest_letters_go(redis_url: str) -> None:
    async with dead_pictures(redis_url, 6) as (suite, pictures):
        bound = HighWaterMark(UNLIMITED, 3000)
        await DeadBounds(suite.client, suite.keys, bound).keep()
        found = await letters_of(suite)
        assert 0 < len(found) < 6
        assert {one.bytes_gone for one in found} == {True}
        assert await suite.bytes_held(DEAD) == await weighed(suite) <= bound.bytes
        assert found[-1].encoded == pictures[-1].encode()


@pytest.mark.parametrize("count", [3, 150])
async def test_after_a_person_trimmed_them_those_that_are_left_lose_nothing(
    redis_url: str, count: int
) -> None:
    """No counter sees that: what is left is weighed before anything is taken from it."""
    async with dead_pictures(redis_url, 1) as (suite, _):
        [(_, letter)] = entries_in(await suite.client.xrange(suite.keys.stream(DEAD)))
        held = await suite.bytes_held(DEAD)
        dead = suite.keys.stream(DEAD)
        for _ in range(4 * count - 1):
            await suite.client.xadd(dead, cast("dict[FieldT, EncodableT]", letter))
        await suite.client.hset(suite.keys.bytes, dead, 4 * count * held)
        await suite.client.xtrim(dead, maxlen=count, approximate=False)
        bound = HighWaterMark(UNLIMITED, 2 * count * held)
        await DeadBounds(suite.client, suite.keys, bound).keep()
        assert await suite.length(DEAD) == count
        assert (await stats_of(suite)).dead_shed == Shed()
        assert await suite.bytes_held(DEAD) == await weighed(suite) == count * held


async def test_letters_without_bytes_are_weighed_as_such(redis_url: str) -> None:
    bound = 3 * SIZE + SIZE // 2
    async with dead_pictures(redis_url, 5, high_water_bytes=8 * bound) as (suite, _):
        held = await suite.bytes_held(DEAD)
        await suite.client.hset(suite.keys.bytes, suite.keys.stream(DEAD), 10 * held)
        await DeadBounds(suite.client, suite.keys, HighWaterMark(UNLIMITED, held)).keep()
        assert await suite.bytes_held(DEAD) == await weighed(suite) == held


async def test_letters_of_the_version_before_are_bounded_as_well(redis_url: str) -> None:
    """They have no code, and their weight does not count their history."""
    async with suite_on(redis_url) as suite:
        payload, weight = Payload.of(bytes(SIZE)), SIZE + 500
        message = image(payload=payload)
        for _ in range(3):
            await suite.client.set(suite.keys.payload(payload.id), bytes(SIZE))
            fields: dict[FieldT, EncodableT] = {
                "m": message.encode(),
                "n": weight,
                "stream": suite.keys.stream(IMAGES),
                "reason": "never",
                "history": json.dumps([{"at": "x" * 2000}]),
            }
            await suite.client.xadd(suite.keys.stream(DEAD), fields)
            await suite.client.hincrby(suite.keys.bytes, suite.keys.stream(DEAD), weight)
        await DeadBounds(suite.client, suite.keys, HighWaterMark(UNLIMITED, 2 * SIZE)).keep()
        assert await suite.length(DEAD) == 3
        assert await suite.bytes_held(DEAD) <= 2 * SIZE


async def test_a_stage_bounds_what_it_finds_when_it_starts(redis_url: str) -> None:
    async with dead_pictures(redis_url, 4) as (suite, _):
        small = Suite(suite.settings.model_copy(update={"dead_letters": 1}))

        async def one_is_left() -> bool:
            return await suite.length(DEAD) == 1

        async with running(small):
            await wait_until(one_is_left, "the oldest are gone")
        await small.client.aclose()


async def test_counts_begin_anew_when_there_are_no_dead_letters(redis_url: str) -> None:
    async with dead_pictures(redis_url, 3, dead_letters=2) as (suite, _):
        letters = DeadLetters(suite.client, suite.settings)
        for letter in await letters_of(suite):
            assert await letters.drop(letter)
        stats = await stats_of(suite)
        assert (stats.dead, stats.dead_bytes, stats.dead_shed.gone) == (0, 0, 0)


STEPS = st.lists(
    st.tuples(st.sampled_from(["drop", "retry", "bytes", "number"]), st.integers(0, 7)),
    max_size=10,
)


@given(steps=STEPS)
@settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
async def test_whatever_is_done_to_them_their_weight_is_what_is_there(
    redis_url: str, steps: list[tuple[str, int]]
) -> None:
    async with suite_on(redis_url) as suite:
        await suite.client.flushall()
    async with dead_pictures(redis_url, 6) as (suite, _):
        letters = DeadLetters(suite.client, suite.settings)
        await suite.client.delete(suite.keys.in_flight)  # the writer has committed their ends
        for step, which in steps:
            found = await letters_of(suite)
            if step == "bytes":
                bound = HighWaterMark(UNLIMITED, which * SIZE)
                await DeadBounds(suite.client, suite.keys, bound).keep()
                assert await suite.bytes_held(DEAD) <= bound.bytes
            elif step == "number":
                bound = HighWaterMark(which, UNLIMITED)
                await DeadBounds(suite.client, suite.keys, bound).keep()
                assert await suite.length(DEAD) <= which
            elif which < len(found) and step == "drop":
                assert await letters.drop(found[which])
            elif which < len(found) and (message := found[which].message):
                assert await letters.retry(found[which], message) == "retried"
            assert await suite.bytes_held(DEAD) == await weighed(suite)


def test_the_shares_of_all_streams_leave_room() -> None:
    memory = 32 << 20
    marks = HighWaterMarks(Settings.load({}), memory)
    assert sum(marks.of_stream(name).bytes for name in STREAMS) <= memory * 15 / 16
