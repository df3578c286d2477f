"""What is in flight and carried by nothing is found; what is carried, wherever, is not lost."""

import json
from collections.abc import Sequence

from shared.messages import SCHEMA_VERSION, ImageMessage
from shared.streams.carried import (
    SourcesUnderWay,
    forget_lost_in_flight,
    more_in_flight_than_carried,
)
from shared.streams.keys import IMAGES
from shared.streams.stage import Later, Outcome, Work
from tests.support.stages import Suite, image, pass_on, running, suite_on
from tests.support.waiting import wait_until


async def marks(suite: Suite) -> int:
    return int(await suite.client.scard(suite.keys.in_flight))


async def lost(suite: Suite) -> int:
    return await forget_lost_in_flight(suite.client, suite.keys)


async def put_off_those_named_later(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
    if works[0].message.name.startswith("later"):
        return [Later(3600, "bucket")]
    return await pass_on(works)


async def test_what_waits_is_pending_is_put_off_or_has_a_result_is_carried(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        names = [f"{what}-{n}.jpg" for what in ("later", "done") for n in range(3)]
        await suite.add_all([image(name) for name in names])

        async def all_moved() -> bool:
            return not await suite.length(IMAGES)

        async with running(suite, put_off_those_named_later):
            await wait_until(all_moved, "three are put off, three have a result")
        await suite.add_all([image("waits.jpg"), image("pending.jpg")])
        await suite.client.xreadgroup("detector", "one", {suite.keys.stream(IMAGES): ">"}, count=1)
        assert not await more_in_flight_than_carried(suite.client, suite.keys)
        assert await lost(suite) == 0
        assert await marks(suite) == 8


async def test_what_nothing_carries_is_forgotten_and_can_be_added_again(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        pictures = [image(f"{n}.jpg") for n in range(1200)]
        await suite.add_all(pictures)
        await suite.client.xtrim(suite.keys.stream(IMAGES), maxlen=100, approximate=False)
        assert await more_in_flight_than_carried(suite.client, suite.keys)
        assert not await suite.producer.add(pictures[0]), "it counts as under way"
        assert await lost(suite) == 1100
        assert await marks(suite) == 100
        assert await suite.producer.add(pictures[0])
        assert await lost(suite) == 0


async def test_images_of_a_newer_program_are_not_taken_for_lost(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        message = image("new.jpg")
        newer = json.loads(message.encode()) | {"v": SCHEMA_VERSION + 1, "new": "field"}
        await suite.client.xadd(suite.keys.stream(IMAGES), {"m": json.dumps(newer), "n": 1})
        await suite.client.xadd(suite.keys.stream(IMAGES), {"m": "no message at all"})
        await suite.client.sadd(suite.keys.in_flight, message.in_flight, "nobody:s:1")
        assert await lost(suite) == 1
        assert await suite.client.smembers(suite.keys.in_flight) == {message.in_flight.encode()}


async def test_sources_that_nobody_here_can_read_may_be_anybodys(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        await suite.client.xadd(suite.keys.stream("sources"), {"m": json.dumps({"v": 99})})
        found = await SourcesUnderWay.read(suite.client, suite.keys)
        assert found.has_image("any", "recipe")
        assert found.without(["submission"]) == set()
