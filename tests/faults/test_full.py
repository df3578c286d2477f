"""What is full or refuses: Redis, a disk, a bucket. The suite waits and drains."""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import pytest

from shared.health import Health
from shared.messages import ImageMessage, Payload, Status, decode_result
from shared.streams.keys import DEAD, IMAGES, RESULTS
from shared.streams.runner import open_stage_of
from shared.streams.stage import Done, Outcome, Output, StageSpec, Work
from tests.support.processes import (
    FACE,
    Processes,
    add_pictures,
    all_ended,
    processes,
    results_added,
    rows_of,
    suite_of,
    writing,
)
from tests.support.s3_stub import Refusal, S3Stub, s3_stub
from tests.support.servers import RedisServer
from tests.support.stages import Running, Suite, image, result_of, running, suite_on
from tests.support.waiting import wait_until

__all__ = ["processes"]


@pytest.fixture
def bucket(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Stub]:
    """An S3 with an empty bucket, `pictures`, that services find."""
    with s3_stub() as stub:
        stub.buckets["pictures"] = {}
        for name, value in stub.environment.items():
            monkeypatch.setenv(name, value)
        yield stub


async def add_found(suite: Suite) -> str:
    """A result with a picture; the id of its image."""
    payload = Payload.of(b"highlighted")
    found = result_of(image(), status=Status.FACES, faces=(FACE,), payload=payload)
    await suite.producer.add(found, {payload: b"highlighted"})
    return found.id


@pytest.mark.parametrize("store", ["disk", "bucket"])
async def test_disk_or_bucket_refuses_a_picture(
    store: str, processes: Processes, bucket: S3Stub
) -> None:
    folder = processes.folder / "objects"
    url = "s3://pictures" if store == "bucket" else f"file://{folder}"
    async with suite_of(processes, objects_url=url, max_attempts=2) as (suite, catalog):
        refused, stored = [await add_found(suite) for _ in range(2)]
        bucket.refuse = lambda _, __, key: (403, "AccessDenied") if refused in key else None
        (folder / image().recipe.id / f"{refused}.jpg").mkdir(parents=True)  # in its place
        async with writing(suite):
            await all_ended(suite, catalog, 2)
        (row,) = await catalog.reader.show(refused)
        assert (row.status, row.attempts) == (Status.FAILED, 2)
        assert ("403 Forbidden" if store == "bucket" else "Is a directory") in row.reason
        assert [row.status for row in await catalog.reader.show(stored)] == [Status.FACES]
        assert await suite.length(DEAD) == 1


@pytest.mark.parametrize(
    "refusal", [(507, ""), (403, "AccessDenied"), (400, "ExpiredToken"), (404, "NoSuchBucket")]
)
async def test_a_bucket_that_refuses_all_is_waited_for(
    processes: Processes, bucket: S3Stub, refusal: Refusal
) -> None:
    bucket.refuse = lambda *_: refusal
    async with suite_of(processes, objects_url="s3://pictures", max_attempts=1) as parts:
        suite, catalog = parts
        pictures = [await add_found(suite) for _ in range(5)]
        await suite.add_all([result_of(image("no picture to store.jpg"))])
        health = Health()
        health.ready("start")
        async with writing(suite, health):
            said = str(refusal[0])
            await wait_until(lambda: said in str(health.problems), "it waits and says why")
            assert await suite.length(RESULTS) == 6, "nothing is lost"
            bucket.mend()
            await all_ended(suite, catalog, 6)
        rows = await rows_of(catalog)
        assert {row.id for row in rows if row.status is Status.FACES} == set(pictures)
        assert {row.attempts for row in rows} == {1}
        assert await suite.length(DEAD) == 0


async def test_redis_at_maxmemory_with_inputs_waiting_drains_by_itself(
    own_server: RedisServer,
) -> None:
    picture = bytes(200_000)

    async def draw(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        payload = Payload.of(picture)
        return [Done((Output(result_of(works[0].message, payload=payload), {payload: picture}),))]

    async with suite_on(own_server.url) as suite:
        await suite.client.config_set("maxmemory", 24_000_000)
        await suite.client.config_set("maxmemory-policy", "noeviction")
        adding = asyncio.create_task(add_pictures(suite, [picture] * 200))

        async def held(stream: str, least: int) -> bool:
            return await suite.bytes_held(stream) >= least

        await wait_until(lambda: held(IMAGES, 12_000_000), "inputs have filled their half")
        full_at = (await suite.client.time())[0]

        async def a_second_later() -> bool:
            assert await suite.bytes_held(IMAGES) < 13_000_000, "and take no more"
            return int((await suite.client.time())[0]) > full_at + 1

        await wait_until(a_second_later, "the producer goes on trying")
        async with running(suite, draw, concurrency=2):
            await wait_until(lambda: held(RESULTS, 6_000_000), "and results their quarter")
            assert not adding.done()
            assert await suite.bytes_held(RESULTS) < 7_000_000
            async with swallowing_results(suite):
                await adding
                await wait_until(suite.all_streams_empty, "all went through", timeout=60)
        assert await results_added(suite) == 200
        assert await suite.length(DEAD) == 0
        refused = await suite.client.info("errorstats")
        assert "errorstat_OOM" not in refused, "the server was never full"


@asynccontextmanager
async def swallowing_results(suite: Suite) -> AsyncIterator[None]:
    """A writer that forgets everything at once."""

    async def swallow(works: Sequence[Work[Any]]) -> Sequence[Outcome]:  # Any: either kind
        return [Done()] * len(works)

    spec: StageSpec[Any] = StageSpec(
        "writer", RESULTS, decode_result, swallow, lambda *_: None, batch=20
    )
    async with open_stage_of(spec, suite.settings, Health(), suite.client) as stage:
        run = Running(stage)
        yield
        await run.drain()
