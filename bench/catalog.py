"""Figures of the catalog on PostgreSQL: commit throughput, query times, and bytes a row.

    python -m bench.catalog throughput --images 50000
    python -m bench.catalog service --images 20000
    python -m bench.catalog queries --rows 1000000 [--explain]

Each makes a database of its own on the server of FACES_BENCH_POSTGRES_URL and drops it after.
"""

import argparse
import asyncio
import os
import secrets
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any
from unittest.mock import patch

import asyncpg
from sqlalchemy import Select
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.catalog_rows import GENERATE, identity, questions
from services.writer.service import open_stage
from shared.catalog import Catalog, Filter, QueuedImage, Step
from shared.health import Health
from shared.messages import Face, ResultMessage, Status, new_token, now
from shared.recipe import Recipe
from shared.settings import Settings
from shared.streams.client import connect
from shared.streams.producer import Producer

SERVER = "postgresql://postgres@127.0.0.1:5432/postgres"
RECIPE = Recipe(model="yunet", model_version="bench")
BATCH = 500


@asynccontextmanager
async def database() -> AsyncIterator[str]:
    """URL of a database that is dropped at the end of the block."""
    server = os.environ.get("FACES_BENCH_POSTGRES_URL", SERVER)
    name = f"faces_bench_{secrets.token_hex(4)}"
    connection = await asyncpg.connect(server)
    await connection.execute(f"CREATE DATABASE {name}")
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()


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
    """Queue, then commit `count` images of two faces; beside a bare bulk insert of the same."""
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
            await catalog.queue(
                Step(submission, "bench", moment, 0, "file:///a", RECIPE, before, after, images)
            )
        report("queued", count, time.perf_counter() - begun)
        batches = iter([results(images, submission) for images in steps])

        async def write() -> None:
            for batch in batches:
                assert (await catalog.commit(batch)).won == len(batch)

        begun = time.perf_counter()
        await asyncio.gather(*(write() for _ in range(writers)))
        report(f"committed, {writers} at a time", count, time.perf_counter() - begun)
        await catalog.seal(submission, 1)
        assert (await catalog.progress(submission)).complete
        await catalog.close()
        await bare_insert(url)


async def service(count: int) -> None:
    """The whole writer, from a results stream that a detector without work has filled."""
    prefix = f"bench-{secrets.token_hex(4)}"
    redis_url = os.environ.get("FACES_BENCH_REDIS_URL", "redis://127.0.0.1:6379/0")
    async with database() as url:
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
            stop = asyncio.Event()
            async with open_stage(settings, Health()) as stage:
                begun = time.perf_counter()
                running = asyncio.create_task(stage.run(stop))
                while not (await catalog.progress(submission)).complete:  # noqa: ASYNC110
                    await asyncio.sleep(0.02)
                report("writer service", count, time.perf_counter() - begun)
                stop.set()
                await running
            await bare_insert(url)
        finally:
            keys = [key async for key in client.scan_iter(f"{{{prefix}}}:*", count=1000)]
            for start in range(0, len(keys), 1000):
                await client.unlink(*keys[start : start + 1000])
            await client.aclose()
            await catalog.close()


async def fill(catalog: Catalog, producer: Producer, count: int) -> str:
    """Queue rows, and add a result for each to the stream."""
    submission = new_token()
    for part in range(count // BATCH):
        images = [
            QueuedImage(new_token(), f"album/{part}/{n}.jpg", f"file:///a/{part}/{n}.jpg")
            for n in range(BATCH)
        ]
        step = Step(submission, "bench", now(), part, None, RECIPE, "", None, images)
        await catalog.queue(step)
        await asyncio.gather(*(producer.add(one) for one in results(images, submission)))
    await catalog.seal(submission, count // BATCH)
    return submission


async def bare_insert(url: str) -> None:
    """COPY of as many rows into tables of the same columns, without a key or an index."""
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
    print(f"{what}: {count:,} images in {seconds:.2f} s, {count / seconds:,.0f} images/s")


async def queries(rows: int, explain: bool, only: str) -> None:
    """Time pages of 50 rows with their faces, from the first row and from the middle."""
    async with database() as url:
        catalog = await Catalog.open(url)
        connection = await asyncpg.connect(url)
        begun = time.perf_counter()
        await connection.execute(
            GENERATE.format(recipe=RECIPE.id, json=RECIPE.model_dump_json(), rows=rows)
        )
        await connection.execute("VACUUM ANALYZE")
        print(f"{rows:,} rows generated in {time.perf_counter() - begun:.0f} s")
        await sizes(connection, rows)
        everything: list[float] = []
        asked = {name: filters for name, filters in questions(rows).items() if only in name}
        for question, filters in asked.items():
            times = [
                await timed(catalog, f, after) for f in filters * 2 for after in (0, rows // 2)
            ]
            times += [
                await timed(catalog, f, 0) for f in filters for _ in range(20 // len(filters))
            ]
            everything += times
            show(question, times)
            if explain:
                await explained(catalog, connection, filters[0])
        show("all", everything)
        shows = [await timed_show(catalog, n * 7919 % rows) for n in range(40)]
        show("show, by identity", shows)
        await connection.close()
        await catalog.close()


def show(question: str, times: list[float]) -> None:
    """Print the median and the 95th percentile, in milliseconds."""
    print(f"{question:26} p50 {statistics.median(times):7.1f} ms   p95 {p95(times):7.1f} ms")


def p95(times: list[float]) -> float:
    """The 95th percentile."""
    return sorted(times)[min(len(times) - 1, int(len(times) * 0.95))]


async def timed(catalog: Catalog, filter_: Filter, after: int) -> float:
    """Milliseconds of one page."""
    begun = time.perf_counter()
    await catalog.page(filter_, after, 50)
    return (time.perf_counter() - begun) * 1000


async def timed_show(catalog: Catalog, number: int) -> float:
    """Milliseconds of one image's history."""
    begun = time.perf_counter()
    assert await catalog.show(identity(f"i{number}"))
    return (time.perf_counter() - begun) * 1000


async def explained(catalog: Catalog, connection: asyncpg.Connection, filter_: Filter) -> None:
    """Print the plan of what `page` runs."""
    seen: list[object] = []
    execute = AsyncConnection.execute

    async def listen(self: AsyncConnection, statement: object, *rest: Any, **more: Any) -> object:
        if isinstance(statement, Select):
            seen.append(statement)
        return await execute(self, statement, *rest, **more)  # type: ignore[call-overload]

    with patch.object(AsyncConnection, "execute", listen):
        await catalog.page(filter_, 0, 50)
    for statement in seen:
        sql = statement.compile(  # type: ignore[attr-defined]
            dialect=postgresql.dialect(), compile_kwargs={"literal_binds": True}
        )
        for (line,) in await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, COSTS) {sql}"):
            print("    ", line)


async def sizes(connection: asyncpg.Connection, rows: int) -> None:
    """Bytes a row, by table, with its indexes."""
    tables = ("images", "found_faces", "memberships")
    total = 0
    for table in tables:
        heap, whole, count = await connection.fetchrow(
            f"SELECT pg_relation_size('{table}'), pg_total_relation_size('{table}'), "
            f"(SELECT count(*) FROM {table})"
        )
        total += whole
        print(
            f"{table}: {count:,} rows, {whole / 2**20:,.0f} MiB, {heap / count:.0f} bytes a row "
            f"and {(whole - heap) / count:.0f} of indexes"
        )
    print(f"catalog: {total / rows:.0f} bytes an image, all tables and indexes")
    for name, size in await connection.fetch(
        "SELECT indexrelname, pg_relation_size(indexrelid) FROM pg_stat_user_indexes "
        "WHERE pg_relation_size(indexrelid) > 100000 ORDER BY 2 DESC"
    ):
        print(f"    index {name}: {size / rows:.0f} bytes an image")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("throughput")
    writing.add_argument("--images", type=int, default=50_000)
    writing.add_argument("--writers", type=int, default=2)
    serving = commands.add_parser("service")
    serving.add_argument("--images", type=int, default=20_000)
    asking = commands.add_parser("queries")
    asking.add_argument("--rows", type=int, default=1_000_000)
    asking.add_argument("--explain", action="store_true")
    asking.add_argument("--only", default="", help="questions whose title holds this")
    arguments = parser.parse_args()
    if arguments.command == "throughput":
        asyncio.run(throughput(arguments.images, arguments.writers))
    elif arguments.command == "service":
        asyncio.run(service(arguments.images))
    else:
        asyncio.run(queries(arguments.rows, arguments.explain, arguments.only))


if __name__ == "__main__":
    main()
