"""A small Redis through which more goes than it holds: dead letters, or somebody else's keys, fill
it, and the suite drains by itself all the same."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress

from redis.exceptions import OutOfMemoryError
from redis.typing import EncodableT, FieldT

from shared.messages import ImageMessage, Payload
from shared.streams.keys import DEAD, IMAGES, RESULTS
from shared.streams.stage import Dead, Done, Outcome, Output, Work
from tests.faults.test_full import swallowing_results
from tests.support.processes import add_pictures, results_added
from tests.support.servers import RedisServer
from tests.support.stages import Suite, image, result_of, running, suite_on
from tests.support.waiting import wait_until

MEMORY = 32_000_000
PICTURE = bytes(200_000)
COUNT = 300
"""Pictures: twice what fits, as inputs or as dead letters."""


class Detector:
    """Draws a picture for a picture, unless it is in a mood to fail them all for good."""

    def __init__(self) -> None:
        self.fails = False

    async def __call__(self, works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        if self.fails:
            return [Dead("the store refuses") for _ in works]
        payload = Payload.of(PICTURE)
        message = result_of(works[0].message, payload=payload)
        return [Done((Output(message, {payload: PICTURE}),))]


@asynccontextmanager
async def small(server: RedisServer) -> AsyncIterator[Suite]:
    async with suite_on(server.url) as suite:
        await suite.client.config_set("maxmemory", MEMORY)
        await suite.client.config_set("maxmemory-policy", "noeviction")
        yield suite


async def all_went_through(suite: Suite, adding: "asyncio.Task[None]") -> None:
    await adding
    await wait_until(suite.all_streams_empty, "all went through", timeout=120)
    assert await results_added(suite) == COUNT


async def test_what_fails_for_good_with_its_bytes_fills_a_sixteenth_and_no_more(
    own_server: RedisServer,
) -> None:
    detector = Detector()
    detector.fails = True
    async with small(own_server) as suite, swallowing_results(suite):
        adding = asyncio.create_task(add_pictures(suite, [PICTURE] * COUNT))
        async with running(suite, detector, concurrency=2):
            await all_went_through(suite, adding)
        assert await suite.length(DEAD) == COUNT
        assert await suite.bytes_held(DEAD) <= MEMORY / 16
        kept = await suite.client.keys("*:body:*")
        assert 1 <= len(kept) <= MEMORY / 16 / len(PICTURE), "the newest keep their pictures"


async def fill_with_dead_letters(suite: Suite) -> None:
    """Until Redis takes no more: the version before had no bound."""
    dead = suite.keys.stream(DEAD)
    with suppress(OutOfMemoryError):
        while True:
            payload = Payload.of(PICTURE)
            encoded, weight = image(payload=payload).encode(), len(PICTURE) + 500
            await suite.client.set(suite.keys.payload(payload.id), PICTURE)
            fields: dict[FieldT, EncodableT] = {"m": encoded, "n": weight, "reason": "refused"}
            await suite.client.xadd(dead, {**fields, "stream": suite.keys.stream(IMAGES)})
            await suite.client.hincrby(suite.keys.bytes, dead, weight)


async def test_full_of_dead_letters_of_the_version_before_it_drains_by_itself(
    own_server: RedisServer,
) -> None:
    async with small(own_server) as suite:
        adding = asyncio.create_task(add_pictures(suite, [PICTURE] * COUNT))
        await wait_until(lambda: half_full(suite), "inputs have filled their half")
        await fill_with_dead_letters(suite)
        async with swallowing_results(suite), running(suite, Detector(), concurrency=2):
            await all_went_through(suite, adding)
        assert await suite.bytes_held(DEAD) <= MEMORY / 16


async def test_filled_to_the_brim_by_a_stranger_what_was_admitted_ends_and_freed_the_rest(
    own_server: RedisServer,
) -> None:
    async with small(own_server) as suite:
        adding = asyncio.create_task(add_pictures(suite, [PICTURE] * COUNT))
        await wait_until(lambda: half_full(suite), "inputs have filled their half")
        admitted = await suite.length(IMAGES)
        for size in (100_000, 1_000, 10):  # to the last byte
            with suppress(OutOfMemoryError):
                while True:
                    await suite.client.rpush("stranger", bytes(size))

        async def admitted_ended() -> bool:
            return bool(
                await suite.client.exists(suite.keys.stream(RESULTS))
                and await results_added(suite) >= admitted
            )

        async with swallowing_results(suite), running(suite, Detector(), concurrency=2):
            await wait_until(admitted_ended, "what was admitted has ended")
            await suite.client.delete("stranger")
            await all_went_through(suite, adding)
        assert await suite.length(DEAD) == 0


async def half_full(suite: Suite) -> bool:
    return await suite.bytes_held(IMAGES) >= MEMORY / 2
