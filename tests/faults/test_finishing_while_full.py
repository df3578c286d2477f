"""Redis is full, whoever filled it: what was admitted is finished all the same, and every remedy
works, while nothing new is taken in."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import redis
from redis.exceptions import OutOfMemoryError

from shared.messages import ImageMessage, Payload
from shared.reasons import Reason
from shared.streams.dead import DeadLetters
from shared.streams.keys import DEAD, IMAGES, RESULTS
from shared.streams.stage import Dead, Done, Later, Outcome, Output, Retry, Work
from tests.cli.test_forget import Tree, tree
from tests.support.catalogs import RECIPE, some_images
from tests.support.command_here import here
from tests.support.faces_command import Faces
from tests.support.servers import RedisServer
from tests.support.stages import Suite, image, pass_on, result_of, running, suite_on
from tests.support.waiting import wait_until

__all__ = ["here", "tree"]

PICTURE = bytes(100_000)
ENOUGH = 100 * len(PICTURE)
"""Marks that are not reached, whatever Redis' limit is."""


async def fill(suite: Suite) -> None:
    """From now on Redis refuses whatever may cost memory."""
    await suite.client.config_set("maxmemory", 1)
    with pytest.raises(OutOfMemoryError):
        await suite.client.set("somebody", "else's")


async def has_results(suite: Suite, count: int) -> bool:
    return await suite.length(RESULTS) == count


async def has_dead(suite: Suite, count: int) -> bool:
    return await suite.length(DEAD) == count


async def draw(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
    """As the detector: a picture for a picture."""
    payload = Payload.of(PICTURE)
    result = result_of(works[0].message, payload=payload)
    return [Done((Output(result, {payload: PICTURE}),))]


async def test_what_was_admitted_is_finished_by_services_that_start_only_then(
    own_server: RedisServer,
) -> None:
    async with suite_on(own_server.url, high_water_bytes=ENOUGH) as suite:
        for _ in range(10):
            await suite.add_with_body(PICTURE)
        await fill(suite)
        async with running(suite, draw, concurrency=2):
            await wait_until(lambda: has_results(suite, 10), "each picture has its result")
        assert await suite.length(IMAGES) == 0
        for result in await suite.results():
            assert result.payload is not None
            key = suite.keys.payload(result.payload.id)
            assert await suite.client.strlen(key) == len(PICTURE)
            assert await suite.client.ttl(key) == -1, "its entry owns it"
        assert len(await suite.client.keys("*:body:*")) == 10, "the inputs' bytes are gone"


async def test_outputs_stop_at_their_mark_also_while_redis_is_full(own_server: RedisServer) -> None:
    async with suite_on(own_server.url, high_water_bytes=4 * len(PICTURE)) as suite:
        for _ in range(4):
            await suite.add_with_body(PICTURE)
        await fill(suite)
        async with running(suite, draw) as run:
            await wait_until(lambda: has_results(suite, 2), "results have reached their mark")
            assert await suite.bytes_held(RESULTS) < 3 * len(PICTURE)
            await suite.client.config_set("maxmemory", 0)
            await suite.client.xtrim(suite.keys.stream(RESULTS), maxlen=0)
            await wait_until(lambda: has_results(suite, 2), "and go on below it")
            await run.drain()


async def test_attempts_fail_are_put_off_and_come_back_while_redis_is_full(
    own_server: RedisServer,
) -> None:
    seen: dict[str, int] = {}

    async def handle(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        name = works[0].message.name
        seen[name] = seen.get(name, 0) + 1
        if name == "retried.jpg" and seen[name] == 1:
            return [Retry("not this time")]
        if name == "later.jpg" and seen[name] == 1:
            return [Later(0.1, "bucket", "it is away")]
        if name == "dead.jpg":
            return [Dead("never")]
        return await pass_on(works)

    async with suite_on(own_server.url, high_water_bytes=ENOUGH) as suite:
        await suite.add_all([image(f"{name}.jpg") for name in ("retried", "later", "dead", "fine")])
        await fill(suite)
        async with running(suite, handle):
            await wait_until(lambda: has_results(suite, 4), "each has its end")
        assert seen == {"retried.jpg": 2, "later.jpg": 2, "dead.jpg": 1, "fine.jpg": 1}
        assert await suite.length(DEAD) == 1
        assert await suite.length(IMAGES) == 0


async def test_dead_letters_are_put_back_and_dropped_while_redis_is_full(
    own_server: RedisServer,
) -> None:
    async def die(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        return [Dead("never")]

    async with suite_on(own_server.url, high_water_bytes=ENOUGH) as suite:
        first, second = await suite.add_with_body(PICTURE), await suite.add_with_body(PICTURE)
        async with running(suite, die):
            await wait_until(lambda: has_dead(suite, 2), "both are dead letters")
        await suite.client.delete(suite.keys.in_flight)  # as the writer leaves it
        await fill(suite)
        letters = DeadLetters(suite.client, suite.settings)
        again, other = [letter async for letter in letters.all()]
        assert await letters.retry(again, first) == "retried"
        assert await letters.drop(other)
        assert [await suite.length(name) for name in (IMAGES, DEAD)] == [1, 0]
        assert await suite.bytes_held(DEAD) == 0
        assert first.payload and second.payload
        keys = [suite.keys.payload(one.payload.id) for one in (first, second) if one.payload]
        assert [await suite.client.exists(key) for key in keys] == [1, 0]


def test_the_other_remedies_do_their_work_while_redis_is_full(
    tree: Tree, own_server: RedisServer, tmp_path: Path
) -> None:
    """Of a deployment, as people start them: two pictures queued, three done, one without a row."""
    objects = tree.here.out / "objects"
    faces = Faces(
        tmp_path,
        FACES_REDIS_URL=own_server.url,
        FACES_DATABASE_URL=tree.here.url,
        FACES_OBJECTS_URL=objects.as_uri(),
    )
    queued = some_images(2, "queued")
    tree.here.queue(queued, "ab" * 16)
    stray = tree.here.draw(some_images(1)[0], RECIPE.id)
    with redis.Redis(port=own_server.port) as client:
        client.config_set("maxmemory", 1)
        done = [
            faces("cancel", "ab"),
            faces("sweep", "--yes", "--older-than", "0"),
            faces("forget", "holiday/*", "--yes"),
        ]
        with pytest.raises(redis.exceptions.OutOfMemoryError):
            client.set("somebody", "else's")
    assert [(one.returncode, one.stdout) for one in done] == [
        (0, "2 images cancelled; 0 had ended before\n"),
        (0, "1 object deleted\n"),
        (0, "3 entries forgotten\n"),
    ]
    assert [tree.here.show(one.name)[0].code for one in queued] == [Reason.CANCELLED] * 2
    assert not stray.exists()
    assert list(objects.rglob("*.jpg")) == []
    assert [tree.here.show(one.name) for one in tree.images] == [[], [], []]
