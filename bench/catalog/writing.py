"""Commit throughput of the catalog, and of the writer service, beside a bare COPY."""

import asyncio
import os
import secrets
import time
from collections.abc import Iterator
from contextlib import contextmanager

import asyncpg  # type: ignore[import-untyped]

from bench.catalog.database import database
from bench.servers import fresh_server, url_of
from services.writer.service import open_stage
from shared.catalog import Catalog, Expansion, QueuedImage
from shared.health import Health
from shared.messages import Face, ResultMessage, Status, new_token, now
from shared.recipe import Recipe
from shared.settings import Settings
from shared.streams.client import connect
from shared.streams.producer import Producer

RECIPE = Recipe(model="yunet", model_version="bench")
BATCH = 500


def results(images: list[QueuedImage], submission: str) -> list[ResultMessage]:
    """A result of two faces for each image."""
    faces = tuple(
        Face(x=n * 50.5, y=20, w=40, h=50, score=0.9, landmarks=tuple(map(float, range(10))))
        for n in range(2)
    )
    return [
        ResultMessage(
            submission=submission,
            trace=submission,
            recipe=RECIPE,
            id=image.id,
            name=image.name,
            source_uri=image.source_uri,
            status=Status.FACES,
            faces=faces,
            annotated=f"{RECIPE.id}/{image.id}.jpg",
            bytes=250_000,
            width=1600,
            height=1200,
            format="JPEG",
            consumer="detector-0-1234",
            detect_ms=25.0,
        )
        for image in images
    ]


async def throughput(count: int, writers: int) -> None:
    """Queue and commit `count` images of two faces, then insert the same by a bare COPY."""
    async with database() as url:
        catalog = await Catalog.open(url)
        submission, moment = new_token(), now()
        steps = [
            [
                QueuedImage(
                    new_token(), f"album-{s:04}/{n:06}.jpg", f"file:///a/{s}/{n}.jpg", "1-1"
                )
                for n in range(BATCH)
            ]
            for s in range(count // BATCH)
        ]
        begun = time.perf_counter()
        for number, images in enumerate(steps):
            after = str(number + 1) if number + 1 < len(steps) else None
            before = str(number) if number else ""
            await catalog.ledger.queue(
                Expansion(
                    submission, "bench", moment, 0, "file:///a", RECIPE, before, after, images
                )
            )
        report("queued", count, time.perf_counter() - begun)
        batches = iter([results(images, submission) for images in steps])

        async def write() -> None:
            for batch in batches:
                assert (await catalog.ledger.commit(batch)).won == len(batch)

        begun = time.perf_counter()
        await asyncio.gather(*(write() for _ in range(writers)))
        report(f"committed, {writers} at a time", count, time.perf_counter() - begun)
        await catalog.ledger.seal(submission, 1)
        assert (await catalog.reader.submission(submission)).complete
        await catalog.close()
        await bare_insert(url)


@contextmanager
def redis_server() -> Iterator[str]:
    """URL of the Redis that FACES_BENCH_REDIS_URL names, else of one that runs during the block."""
    if url := os.environ.get("FACES_BENCH_REDIS_URL"):
        yield url
    else:
        with fresh_server() as client:
            yield url_of(client)


async def service(count: int) -> None:
    """The whole writer, from a results stream that is filled before."""
    prefix = f"bench-{secrets.token_hex(4)}"
    async with database() as url:
        with redis_server() as redis_url:
            settings = Settings.load(
                {
                    "redis_url": redis_url,
                    "database_url": url,
                    "objects_url": "memory://",
                    "prefix": prefix,
                    "high_water": count,
                    "log_level": "warning",
                }
            )
            client, catalog = connect(settings.redis_url), await Catalog.open(url)
            try:
                submission = await fill(catalog, Producer(client, settings), count)
                report("writer service", count, await written(settings, catalog, submission))
                await bare_insert(url)
            finally:
                keys = [key async for key in client.scan_iter(f"{{{prefix}}}:*", count=1000)]
                for start in range(0, len(keys), 1000):
                    await client.unlink(*keys[start : start + 1000])
                await client.aclose()
                await catalog.close()


async def written(settings: Settings, catalog: Catalog, submission: str) -> float:
    """Seconds in which a writer takes all results of a submission into the catalog."""
    stop = asyncio.Event()
    async with open_stage(settings, Health()) as stage:
        begun = time.perf_counter()
        running = asyncio.create_task(stage.run(stop))
        while not (await catalog.reader.submission(submission)).complete:
            if running.done():
                break  # it failed, which awaiting it tells
            await asyncio.sleep(0.02)
        seconds = time.perf_counter() - begun
        stop.set()
        await running
        return seconds


async def fill(catalog: Catalog, producer: Producer, count: int) -> str:
    """Queue rows and add a result of each to the stream; returns the submission's id."""
    submission = new_token()
    for part in range(count // BATCH):
        images = [
            QueuedImage(new_token(), f"album/{part}/{n}.jpg", f"file:///a/{part}/{n}.jpg")
            for n in range(BATCH)
        ]
        step = Expansion(submission, "bench", now(), part, None, RECIPE, "", None, images)
        await catalog.ledger.queue(step)
        await asyncio.gather(*(producer.add(one) for one in results(images, submission)))
    await catalog.ledger.seal(submission, count // BATCH)
    return submission


async def bare_insert(url: str) -> None:
    """COPY the rows into tables of the same columns, without a key or an index."""
    connection = await asyncpg.connect(url)
    await connection.execute("CREATE TABLE bare_images AS SELECT * FROM images WHERE false")
    await connection.execute("CREATE TABLE bare_faces AS SELECT * FROM found_faces WHERE false")
    rows = [tuple(row) for row in await connection.fetch("SELECT * FROM images")]
    faces = [tuple(row) for row in await connection.fetch("SELECT * FROM found_faces")]
    begun = time.perf_counter()
    for start in range(0, len(rows), BATCH):
        async with connection.transaction():
            await connection.copy_records_to_table(
                "bare_images", records=rows[start : start + BATCH]
            )
            await connection.copy_records_to_table(
                "bare_faces", records=faces[2 * start : 2 * (start + BATCH)]
            )
    report("bare COPY", len(rows), time.perf_counter() - begun)
    await connection.close()


def report(what: str, count: int, seconds: float) -> None:
    """Print one figure."""
    print(f"{what}: {count:,} images in {seconds:.2f} s, {count / seconds:,.0f} images/s")
