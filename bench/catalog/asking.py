"""Times of the questions that people ask the catalog, and its bytes a row."""

import statistics
import time
from typing import Any
from unittest.mock import patch

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import Select
from sqlalchemy.engine import make_url
from sqlalchemy.ext.asyncio import AsyncConnection

from bench.catalog.database import database
from bench.catalog.rows import GENERATE, identity, questions
from bench.catalog.writing import RECIPE
from shared.catalog import Catalog, Filter

DIALECT = make_url("postgresql://").get_dialect()()


async def queries(rows: int, explain: bool, only: str) -> None:
    """Time pages of 50 rows with their faces, from the first row and from the middle.

    Raises:
        SystemExit: no question's title holds `only`.
    """
    asked = {name: filters for name, filters in questions(rows).items() if only in name}
    if not asked:
        raise SystemExit(f"--only {only!r}: the questions are {', '.join(questions(rows))}")
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
        counts = [await timed_count(catalog, version) for version in (2, 3) for _ in range(10)]
        show("drawn before 2, counted", counts[:10])
        show("drawn before 3, counted", counts[10:])
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
    await catalog.reader.page(filter_, after, 50)
    return (time.perf_counter() - begun) * 1000


async def timed_count(catalog: Catalog, version: int) -> float:
    """Milliseconds of counting the pictures that were drawn before a version."""
    begun = time.perf_counter()
    await catalog.reader.drawn_before(version)
    return (time.perf_counter() - begun) * 1000


async def timed_show(catalog: Catalog, number: int) -> float:
    """Milliseconds of one image with its history."""
    begun = time.perf_counter()
    assert await catalog.reader.show(identity(f"i{number}"))
    return (time.perf_counter() - begun) * 1000


async def explained(catalog: Catalog, connection: asyncpg.Connection, filter_: Filter) -> None:
    """Print PostgreSQL's plan of what `page` runs."""
    seen: list[Select[Any]] = []  # Any: a statement's columns do not matter here
    execute = AsyncConnection.execute

    async def listen(self: AsyncConnection, statement: object, *rest: Any, **more: Any) -> object:
        # Any: passed on as they are
        if isinstance(statement, Select):
            seen.append(statement)
        return await execute(self, statement, *rest, **more)  # type: ignore[call-overload]

    with patch.object(AsyncConnection, "execute", listen):
        await catalog.reader.page(filter_, 0, 50)
    for statement in seen:
        sql = statement.compile(dialect=DIALECT, compile_kwargs={"literal_binds": True})
        for (line,) in await connection.fetch(f"EXPLAIN (ANALYZE, BUFFERS, COSTS) {sql}"):
            print("    ", line)


async def sizes(connection: asyncpg.Connection, rows: int) -> None:
    """Print the bytes a row of each table and of its indexes."""
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
