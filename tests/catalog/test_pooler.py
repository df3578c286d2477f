"""Behind a pooler each transaction may be served by another process of the server."""

import asyncio
import json
import sys
from collections.abc import AsyncIterator, Iterator

import pytest
from sqlalchemy import text

from shared.catalog import Catalog, Filter, at_work
from shared.catalog.database import Database
from shared.errors import Unreachable
from tests.support.catalogs import result_of, some_images, step_of
from tests.support.postgres import GuardedPostgres, database, guarded, pgbouncer

__all__ = ["database", "guarded"]

ONE = "1" * 32


@pytest.fixture(scope="module")
def pooler(guarded: GuardedPostgres) -> Iterator[int]:
    with pgbouncer(guarded) as port:
        yield port


@pytest.fixture
async def pooled(guarded: GuardedPostgres, database: str, pooler: int) -> AsyncIterator[Database]:
    """A database behind a pooler with two connections of its own, which all of ours share."""
    opened = await Database.open(guarded.url_of(database, "postgres", "", port=pooler))
    yield opened
    await opened.close()


async def test_many_at_once_share_few_connections_of_the_pooler(pooled: Database) -> None:
    catalog = Catalog(pooled)
    images = some_images(400)
    batches = [images[n : n + 10] for n in range(0, 400, 10)]

    await asyncio.gather(
        *(catalog.ledger.queue(step_of(batch, ONE, part=n)) for n, batch in enumerate(batches))
    )
    reports = await asyncio.gather(
        *(catalog.ledger.commit([result_of(image) for image in batch]) for batch in batches)
    )

    assert sum(report.won for report in reports) == 400
    assert (await catalog.reader.submission(ONE)).with_faces == 400
    pages = await asyncio.gather(
        *(catalog.reader.page(Filter(name="holiday/00001*", submission=ONE)) for _ in range(8))
    )
    assert {len(page) for page in pages} == {10}
    await pooled.check()


async def test_the_times_that_are_kept_are_of_the_same_zone(
    pooled: Database, guarded: GuardedPostgres, database: str
) -> None:
    await guarded.run(f"ALTER DATABASE {database} SET timezone = 'Asia/Tokyo'")

    async with pooled.reading() as connection:
        assert await connection.scalar(text("SHOW timezone")) == "UTC"


async def test_a_statement_over_its_limit_is_broken_off_since_nobody_can_be_asked(
    pooled: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_work, "LONG_SECONDS", 0.1)
    monkeypatch.setattr(at_work, "STATEMENT_SECONDS", 0.5)

    async with pooled._write(patient=True) as connection:
        assert await connection.scalar(text("SELECT 1 FROM pg_sleep(1)")) == 1
    with pytest.raises(Unreachable, match="does not answer"):
        async with pooled.writing() as connection:
            await connection.execute(text("SELECT pg_sleep(1000)"))

    await pooled.check()


async def test_without_a_pooler_statements_stay_prepared(
    guarded: GuardedPostgres, database: str
) -> None:
    opened = await Database.open(guarded.url_of(database))
    async with opened.reading() as connection:
        for _ in range(2):
            await connection.execute(text("SELECT 27 FROM images"))
        kept = await connection.scalar(
            text("SELECT count(*) FROM pg_prepared_statements WHERE statement LIKE 'SELECT 27%'")
        )
    await opened.close()

    assert kept == 1


async def test_a_command_prints_its_answer_alone(
    pooled: Database, guarded: GuardedPostgres, database: str, pooler: int
) -> None:
    url = guarded.url_of(database, "postgres", "", port=pooler)

    command = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "services.cli", "status", "--json", "--database", url),
        stdout=asyncio.subprocess.PIPE,
    )
    printed, _ = await command.communicate()

    assert command.returncode == 0
    assert json.loads(printed) == []
