"""What is full or refuses: Redis, a disk, a bucket. The suite waits and drains."""

import asyncio
from collections.abc import AsyncIterator, Sequence
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
from tests.support.servers import RedisServer
from tests.support.stages import Running, Suite, image, result_of, running, suite_on
from tests.support.waiting import wait_until

__all__ = ["processes"]


class Bucket:
    """An S3 endpoint that answers every request with one status, and counts them."""

    def __init__(self) -> None:
        self.status = "200 OK"
        self.requests = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lengths = [
                    line for line in head.lower().split(b"\r\n") if b"content-length" in line
                ]
                await reader.readexactly(int(lengths[0].split(b":")[1]) if lengths else 0)
                self.requests += 1
                etag = 'ETag: "1"\r\nContent-Length: 0\r\n\r\n'
                writer.write(f"HTTP/1.1 {self.status}\r\n{etag}".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def bucket_of(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bucket]:
    bucket = Bucket()
    server = await asyncio.start_server(bucket, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for name, value in {
        "AWS_ENDPOINT": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "word",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        yield bucket
    finally:
        server.close()


async def add_found(suite: Suite) -> str:
    """A result with a picture; the id of its image."""
    payload = Payload.of(b"highlighted")
    found = result_of(image(), status=Status.FACES, faces=(FACE,), payload=payload)
    await suite.producer.add(found, {payload: b"highlighted"})
    return found.id


@pytest.mark.parametrize("store", ["disk", "bucket"])
async def test_disk_or_bucket_refuses(
    store: str, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bucket_of(monkeypatch) as bucket:
        bucket.status = "403 Forbidden"
        folder = processes.folder / "objects"
        url = "s3://pictures" if store == "bucket" else f"file://{folder}"
        async with suite_of(processes, objects_url=url, max_attempts=2) as (suite, catalog):
            folder.mkdir(exist_ok=True)
            refused = await add_found(suite)
            (folder / image().recipe.id).write_text("a file where a folder should be")
            fine = result_of(image("fine.jpg"))
            await suite.add_all([fine])
            async with writing(suite):
                await all_ended(suite, catalog, 2)
            (row,) = await catalog.reader.show(refused)
            assert (row.status, row.attempts) == (Status.FAILED, 2)
            assert ("403 Forbidden" if store == "bucket" else "Not a directory") in row.reason
            assert [row.status for row in await catalog.reader.show(fine.id)] == [Status.NO_FACES]
            assert await suite.length(DEAD) == 1


async def test_disk_full_at_the_object_store(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bucket_of(monkeypatch) as bucket:
        bucket.status = "507 Insufficient Storage"
        async with suite_of(processes, objects_url="s3://pictures") as (suite, catalog):
            pictures = [await add_found(suite) for _ in range(5)]
            health = Health()
            health.ready("start")
            async with writing(suite, health):
                await wait_until(lambda: "507" in str(health.problems), "it waits and says why")
                assert await suite.length(RESULTS) == 5, "nothing is lost"
                bucket.status = "200 OK"
                await all_ended(suite, catalog, 5)
            assert {row.status for row in await rows_of(catalog)} == {Status.FACES}
            assert {row.id for row in await rows_of(catalog)} == set(pictures)
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
