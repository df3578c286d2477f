"""A connection that leads nowhere, though nobody said so, is found and replaced in seconds."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from sqlalchemy import text

from shared.catalog import Catalog, at_work, postgres
from shared.catalog.database import Database
from shared.errors import Unreachable
from tests.support.catalogs import result_of, some_images, step_of
from tests.support.postgres import GuardedPostgres, database, guarded
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

__all__ = ["database", "guarded"]

ONE = "1" * 32


@pytest.fixture
async def router(guarded: GuardedPostgres) -> AsyncIterator[Proxy]:
    async with Proxy(guarded.port) as proxy:
        yield proxy


@pytest.fixture
async def behind_router(
    router: Proxy, guarded: GuardedPostgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> AsyncIterator[Database]:
    """A database that is tried after any rest, and asked about soon."""
    monkeypatch.setattr(postgres, "IDLE_SECONDS", 0)
    monkeypatch.setattr(at_work, "LONG_SECONDS", 0.2)
    monkeypatch.setattr(at_work, "ASK_SECONDS", 0.2)
    opened = await Database.open(guarded.url_of(database, port=router.port))
    yield opened
    await opened.close()


async def test_idle_connections_that_were_forgotten_on_the_way_cost_no_failure(
    behind_router: Database, router: Proxy
) -> None:
    catalog = Catalog(behind_router)
    images = some_images(5)
    await asyncio.gather(*(catalog.ledger.queue(step_of([image], ONE)) for image in images))

    router.silence_open()

    results = [result_of(image) for image in images]
    assert (await catalog.ledger.commit(results)).won == 5


async def test_a_connection_that_is_forgotten_as_it_is_opened_is_given_up(
    router: Proxy, guarded: GuardedPostgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres, "CONNECT_SECONDS", 3)
    ask = postgres._is_pooled

    async def ask_into_silence(driver: Any) -> bool:  # Any: the driver's connection has no type
        router.silence_open()
        return await ask(driver)

    url = guarded.url_of(database, port=router.port)
    with monkeypatch.context() as forgotten:
        forgotten.setattr(postgres, "_is_pooled", ask_into_silence)
        with pytest.raises(Unreachable):
            await Database.open(url)
    await (await Database.open(url)).close()


async def test_a_check_tells_of_lost_idle_connections_once(
    behind_router: Database, router: Proxy
) -> None:
    await behind_router.check()

    router.silence_open()

    with pytest.raises(Unreachable, match="idle connections were lost"):
        await behind_router.check()
    await behind_router.check()


async def test_a_check_says_within_its_limit_that_the_server_is_silent(
    behind_router: Database, router: Proxy, guarded: GuardedPostgres
) -> None:
    guarded.freeze()
    try:
        with pytest.raises(Unreachable, match="does not answer: no answer"):
            await behind_router.check()
    finally:
        guarded.thaw()

    await behind_router.check()


async def test_an_answer_that_is_lost_ends_as_an_outage_and_frees_its_locks(
    behind_router: Database, router: Proxy
) -> None:
    catalog = Catalog(behind_router)
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image], ONE))

    async def commit_into_silence() -> None:
        async with behind_router.writing() as connection:
            await connection.execute(text("SELECT * FROM images FOR UPDATE"))
            router.silence_open()
            await connection.execute(text("SELECT 1"))

    with pytest.raises(Unreachable, match="does not answer"):
        await commit_into_silence()

    assert (await catalog.ledger.commit([result_of(image)])).won == 1


async def test_a_statement_that_takes_long_is_left_to_its_end(behind_router: Database) -> None:
    async with behind_router.writing() as connection:
        assert await connection.scalar(text("SELECT 1 FROM pg_sleep(2)")) == 1


async def test_a_transaction_of_many_statements_is_left_to_its_end(
    behind_router: Database,
) -> None:
    async with behind_router.writing() as connection:
        for _ in range(20):
            assert await connection.scalar(text("SELECT 1 FROM pg_sleep(0.1)")) == 1


async def test_the_work_of_a_role_that_is_set_is_seen_from_the_same_role(
    router: Proxy, guarded: GuardedPostgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_work, "LONG_SECONDS", 0.2)
    monkeypatch.setattr(at_work, "ASK_SECONDS", 0.2)
    await guarded.run(
        "CREATE ROLE faces_b LOGIN PASSWORD 'hush' IN ROLE faces",
        "ALTER ROLE faces_b SET role = faces",
    )
    opened = await Database.open(guarded.url_of(database, "faces_b", port=router.port))

    async def ask_into_silence() -> None:
        async with opened.writing() as connection:
            assert await connection.scalar(text("SELECT current_user")) == "faces"
            router.silence_open()
            await connection.execute(text("SELECT 1"))

    with pytest.raises(Unreachable, match="does not answer"):
        await ask_into_silence()
    await opened.close()
    await guarded.run("DROP ROLE faces_b")


async def test_a_statement_over_its_limit_is_cancelled_except_in_a_migration(
    behind_router: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(at_work, "STATEMENT_SECONDS", 0.5)

    async with behind_router._write(patient=True) as connection:
        await connection.execute(text("SELECT pg_sleep(2)"))
    with pytest.raises(Unreachable, match="canceling statement"):
        async with behind_router.writing() as connection:
            await connection.execute(text("SELECT pg_sleep(1000)"))


async def test_who_is_stopped_while_it_waits_for_a_lost_answer_leaves(
    router: Proxy, guarded: GuardedPostgres, database: str
) -> None:
    """Not asked about yet: the driver's own rollback would wait for an answer as well."""
    opened = await Database.open(guarded.url_of(database, port=router.port))
    waiting = asyncio.Event()

    async def ask_into_silence() -> None:
        async with opened.writing() as connection:
            await connection.execute(text("SELECT 1"))
            router.silence_open()
            waiting.set()
            await connection.execute(text("SELECT 2"))

    stopped = asyncio.create_task(ask_into_silence())
    await waiting.wait()
    await asyncio.sleep(0)
    stopped.cancel()
    await wait_until(stopped.done, "it has left")
    assert stopped.cancelled()
    await opened.close()
