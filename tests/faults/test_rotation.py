"""The password of the database is changed while services work, as docs/operations.md says."""

import asyncio
import json
import signal
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from shared.streams.keys import DEAD
from tests.support.postgres import (
    PASSWORD,
    GuardedPostgres,
    database,
    end_connections,
    guarded,
)
from tests.support.processes import Processes, processes, suite_of
from tests.support.stages import Suite, image, result_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(300)  # each test starts two services, one after the other

__all__ = ["database", "guarded", "processes"]

REFUSED = "password authentication failed"


class Load:
    """Results that are added all the time, and how many there were."""

    def __init__(self, suite: Suite) -> None:
        self._suite = suite
        self.added = 0

    async def run(self) -> None:
        while True:
            names = [f"{self.added + n}.jpg" for n in range(5)]
            await self._suite.add_all([result_of(image(name)) for name in names])
            self.added += len(names)
            await asyncio.sleep(0.1)


@asynccontextmanager
async def loaded(suite: Suite) -> AsyncIterator[Load]:
    load = Load(suite)
    running = asyncio.create_task(load.run())
    yield load
    running.cancel()
    await asyncio.wait([running])


async def rows(postgres: GuardedPostgres, database: str) -> int:
    connection = await postgres.connect(database)
    try:
        return int(await connection.fetchval("SELECT count(*) FROM images"))
    finally:
        await connection.close()
        await asyncio.sleep(0.1)  # asked again and again, beside those that work


async def more_rows(load: Load, postgres: GuardedPostgres, database: str) -> None:
    """Wait until twenty more are committed than there were."""
    before = await rows(postgres, database)

    async def committed() -> bool:
        return await rows(postgres, database) >= before + 20

    await wait_until(committed, f"20 more rows, {load.added} added")


async def start_writer(processes: Processes, url: str) -> "subprocess.Popen[bytes]":
    processes.settings["database_url"] = url
    started = processes.start("services.writer")
    await wait_until(lambda: '"consuming"' in processes.printed(started), "it consumes")
    return started


async def end(running: "subprocess.Popen[bytes]") -> None:
    running.send_signal(signal.SIGTERM)
    assert await asyncio.to_thread(running.wait, 60) == 0


async def all_is_done_and_nothing_blamed(
    suite: Suite, load: Load, postgres: GuardedPostgres, database: str
) -> None:
    async def ended() -> bool:
        return await rows(postgres, database) == load.added and await suite.all_streams_empty()

    await wait_until(ended, f"{load.added} rows, and empty streams")
    assert await suite.length(DEAD) == 0
    connection = await postgres.connect(database)
    assert await connection.fetchval("SELECT max(attempts) FROM images") == 1
    await connection.close()


@pytest.fixture
async def two_logins(guarded: GuardedPostgres, database: str) -> AsyncIterator[tuple[str, str]]:
    """Two roles to log in with, which act as `faces`, the owner of all tables."""
    logins = (f"{database}_a", f"{database}_b")
    for login in logins:
        await guarded.run(
            f"CREATE ROLE {login} LOGIN PASSWORD '{PASSWORD}' IN ROLE faces",
            f"ALTER ROLE {login} SET role = faces",
        )
    yield logins
    for login in logins:
        await end_connections(guarded, login)
        await guarded.run(f"DROP ROLE {login}")


async def test_with_two_logins_in_turn_none_is_refused(
    processes: Processes, guarded: GuardedPostgres, database: str, two_logins: tuple[str, str]
) -> None:
    before = guarded.log.count(REFUSED)
    processes.database = guarded.url_of(database, two_logins[0])
    async with suite_of(processes) as (suite, catalog):
        await catalog.close()  # its tables are made, by the first login
        writer = await start_writer(processes, processes.database)
        async with loaded(suite) as load:
            await more_rows(load, guarded, database)
            await guarded.run(f"ALTER ROLE {two_logins[1]} PASSWORD 'another'")
            after = guarded.url_of(database, two_logins[1], "another")
            await start_writer(processes, after)
            await end(writer)
            await guarded.run(f"ALTER ROLE {two_logins[0]} PASSWORD 'for the next time'")
            await more_rows(load, guarded, database)
        await all_is_done_and_nothing_blamed(suite, load, guarded, database)
    assert guarded.log.count(REFUSED) == before


async def test_with_one_login_work_waits_for_the_new_password_and_nothing_is_blamed(
    processes: Processes, guarded: GuardedPostgres, database: str
) -> None:
    processes.database = guarded.url_of(database)
    processes.settings["drain_seconds"] = 1
    async with suite_of(processes) as (suite, catalog):
        await catalog.close()
        writer = await start_writer(processes, processes.database)
        async with loaded(suite) as load:
            await more_rows(load, guarded, database)
            await guarded.run("ALTER ROLE faces PASSWORD 'another'")
            await end_connections(guarded)  # the worst case: none of before is left
            await wait_until(lambda: told(processes, writer, REFUSED), "it says what it waits for")
            await start_writer(processes, guarded.url_of(database, password="another"))
            await end(writer)
            await more_rows(load, guarded, database)
        await all_is_done_and_nothing_blamed(suite, load, guarded, database)


def told(processes: Processes, process: "subprocess.Popen[bytes]", words: str) -> bool:
    """Whether a service has logged that it is not ready, in these words."""
    lines = [
        json.loads(line) for line in processes.printed(process).splitlines() if line[:1] == "{"
    ]
    return any(line["event"] == "not ready" and words in line["reason"] for line in lines)
