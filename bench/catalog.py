"""Figures of the catalog on PostgreSQL: commit throughput, query times, and bytes a row.

    python -m bench.catalog throughput --images 50000
    python -m bench.catalog queries --rows 1000000 [--explain]

Each makes a database of its own on the server of FACES_BENCH_POSTGRES_URL and drops it after.
"""

import argparse
import asyncio
import hashlib
import os
import secrets
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch

import asyncpg
from sqlalchemy import Select
from sqlalchemy.dialects import postgresql
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import Catalog, Filter, QueuedImage, Step
from shared.messages import Face, ResultMessage, Status, new_token, now
from shared.recipe import Recipe

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
        await bare_insert(url, steps, submission)


async def bare_insert(url: str, steps: list[list[QueuedImage]], submission: str) -> None:
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


GENERATE = """
INSERT INTO recipes (id, json) VALUES ('{recipe}', '{json}');
INSERT INTO submissions (id, name, created_at)
    SELECT md5('s' || s), 'submission ' || s, now() - interval '100 days' + s * interval '1 day'
    FROM generate_series(0, 99) s;
SELECT setseed(0.5);
INSERT INTO images (id, recipe, generation, submission_id, source_uri, source_version, name, bytes,
    width, height, format, status, face_count, best_score, least_score, annotated_uri, reason,
    attempts, consumer, queued_at, detected_at, committed_at, detect_ms)
SELECT md5('i' || i), '{recipe}', 1, md5('s' || CASE WHEN i < {rows} * 0.9 THEN 0
        ELSE 1 + i % 99 END), 'file:///photos/' || path, '250000-1700000000' || i, path,
    250000 + i % 10000, 1600, 1200, 'JPEG', status,
    CASE WHEN status = 'faces' THEN count ELSE 0 END,
    CASE WHEN status = 'faces' THEN best END, CASE WHEN status = 'faces' THEN least END,
    CASE WHEN status = 'faces' THEN 's3://pictures/{recipe}/' || md5('i' || i) || '.jpg' END,
    CASE WHEN status = 'failed' THEN 'the file is truncated' ELSE '' END, 1,
    'detector-' || i % 8 || '-4711', at, at + interval '1 second',
    CASE WHEN status <> 'queued' THEN at + interval '2 seconds' END, 20 + random() * 30
FROM (
    SELECT i, now() - interval '100 days' + i * interval '8 seconds' AS at,
        'album-' || lpad((i / 1000)::text, 4, '0') || '/' || (ARRAY['beach', 'city', 'party',
        'forest'])[1 + (i / 100) % 4] || '/IMG_' || lpad((i::bigint * 7919 % {rows})::text, 7, '0')
        || '.jpg' AS path,
        CASE WHEN i >= {rows} * 0.999 THEN 'queued' WHEN random() < 0.002 THEN 'failed'
        WHEN random() < 0.35 THEN 'no_faces' ELSE 'faces' END AS status,
        1 + floor(-ln(1 - random()) * 1.2)::int AS count,
        0.7 + 0.3 * sqrt(random()) AS best, 0.7 + 0.3 * random() * random() AS least
    FROM generate_series(0, {rows} - 1) i
) made;
UPDATE images SET best_score = greatest(best_score, least_score), least_score =
    CASE WHEN face_count = 1 THEN greatest(best_score, least_score) ELSE
    least(best_score, least_score) END WHERE status = 'faces' AND best_score < least_score;
INSERT INTO memberships (submission, image)
    SELECT submissions.pk, images.pk FROM images
    JOIN submissions ON submissions.id = images.submission_id ORDER BY 2;
INSERT INTO found_faces (image, n, x, y, w, h, score, landmarks)
    SELECT pk, n, 50 * n, 40, 45, 60, CASE n WHEN 0 THEN best_score ELSE least_score END,
        decode(repeat('0000803f', 10), 'hex')
    FROM images, generate_series(0, face_count - 1) n WHERE status = 'faces' ORDER BY pk, n;
"""


def questions(rows: int) -> dict[str, list[Filter]]:
    """What people ask, in some variants each."""
    moment = now()
    many = range(0, 100, 5)
    return {
        "status failed": [Filter(statuses=(Status.FAILED,))],
        "status faces": [Filter(statuses=(Status.FACES,))],
        "status queued": [Filter(statuses=(Status.QUEUED,))],
        "whole name": [Filter(name=f"album-{n:04}/beach/IMG_0000000.jpg") for n in many],
        "name, an album": [Filter(name=f"album-{n * rows // 100_000:04}/*") for n in many],
        "name, part of it": [Filter(name=f"*IMG_{n * 7919 % rows:07}*") for n in many],
        "name, a folder": [Filter(name="*/beach/*")],
        "name, a set": [Filter(name=f"album-00[0-9]{n // 10}/*/IMG_*7.jpg") for n in many],
        "no such name": [Filter(name="*zebra*")],
        "faces, 5 or more": [Filter(min_faces=5)],
        "faces, 12 or more": [Filter(min_faces=12)],
        "faces, 3 exactly": [Filter(min_faces=3, max_faces=3)],
        "doubtful faces": [Filter(max_score=0.7001)],
        "certain faces": [Filter(min_score=0.99995)],
        "a score between": [Filter(min_score=0.7, max_score=0.7002)],
        "one day": [
            Filter(since=moment - timedelta(days=n + 1), until=moment - timedelta(days=n))
            for n in range(95)
        ],
        "a small submission": [Filter(submission=token(n)) for n in range(1, 90, 7)],
        "failed of a submission": [
            Filter(submission=token(n), statuses=(Status.FAILED,)) for n in range(0, 90, 7)
        ],
        "failed of the last day": [
            Filter(statuses=(Status.FAILED,), since=moment - timedelta(days=10))
        ],
        "many faces in an album": [Filter(name=f"album-{n:04}/*", min_faces=6) for n in many],
    }


def token(number: int) -> str:
    return hashlib.md5(f"s{number}".encode()).hexdigest()


async def queries(rows: int, explain: bool) -> None:
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
        for question, filters in questions(rows).items():
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
    assert await catalog.show(hashlib.md5(f"i{number}".encode()).hexdigest())
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
    asking = commands.add_parser("queries")
    asking.add_argument("--rows", type=int, default=1_000_000)
    asking.add_argument("--explain", action="store_true")
    arguments = parser.parse_args()
    if arguments.command == "throughput":
        asyncio.run(throughput(arguments.images, arguments.writers))
    else:
        asyncio.run(queries(arguments.rows, arguments.explain))


if __name__ == "__main__":
    main()
