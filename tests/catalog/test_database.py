"""Opening a catalog: migrations under a lock, upgrades with rows, and errors in plain words."""

import asyncio
import os
import sqlite3
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import event, text

from shared.catalog import Catalog
from shared.catalog.database import Database
from shared.errors import LoginRefused, SettingsError, Unreachable
from tests.support.catalogs import result_of, run_sql, some_images, step_of

ONE = "1" * 32


async def test_a_new_file_catalog_is_readable_by_its_user_alone(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        catalog = await Catalog.open(f"sqlite:///{tmp_path}/faces.db")
        await catalog.ledger.queue(step_of(some_images(1), ONE))
        files = {path.name: path.stat().st_mode & 0o777 for path in tmp_path.iterdir()}
        await catalog.close()
    finally:
        os.umask(before)
    assert files == dict.fromkeys(("faces.db", "faces.db-wal", "faces.db-shm"), 0o600)


async def test_a_catalog_of_a_newer_program_is_refused(catalog_url: str) -> None:
    database = await Database.open(catalog_url)
    async with database.writing() as connection:
        await connection.execute(text("INSERT INTO schema_version (version) VALUES (99)"))
    await database.close()

    with pytest.raises(SettingsError, match=r"schema version 99.*newer"):
        await Catalog.open(catalog_url)


async def test_many_starting_at_once_on_an_empty_database_make_it_once(catalog_url: str) -> None:
    catalogs = await asyncio.gather(*(Catalog.open(catalog_url) for _ in range(4)))

    images = some_images(40)
    await asyncio.gather(
        *(catalog.ledger.queue(step_of(images, ONE, part=n)) for n, catalog in enumerate(catalogs))
    )

    assert (await catalogs[0].reader.submission(ONE)).named == 40
    await asyncio.gather(*(catalog.close() for catalog in catalogs))


async def test_two_processes_starting_at_once_on_an_empty_database_make_it_once(
    catalog_url: str,
) -> None:
    program = (
        "import asyncio, sys\n"
        "from shared.catalog import Catalog\n"
        "async def main():\n"
        "    await (await Catalog.open(sys.argv[1])).close()\n"
        "asyncio.run(main())\n"
    )
    command = [sys.executable, "-c", program, catalog_url]

    processes = [await asyncio.create_subprocess_exec(*command) for _ in range(2)]

    assert [await process.wait() for process in processes] == [0, 0]


async def test_writers_of_the_same_rows_in_any_order_do_not_block_each_other(
    catalog_url: str,
) -> None:
    first, second = await Catalog.open(catalog_url), await Catalog.open(catalog_url)
    images = some_images(200)
    for round_ in range(5):
        batch = images[round_ * 40 : (round_ + 1) * 40]
        await asyncio.gather(
            first.ledger.queue(step_of(batch, ONE, part=round_)),
            second.ledger.queue(step_of(batch[::-1], "2" * 32, part=round_)),
        )
        results = [result_of(image) for image in batch]
        reports = await asyncio.gather(
            first.ledger.commit(results),
            second.ledger.commit(results[::-1]),
            first.ledger.commit(results[10:30]),
        )
        assert sum(report.won for report in reports) == 40

    for submission in (ONE, "2" * 32):
        progress = await first.reader.submission(submission)
        assert (progress.named, progress.with_faces, progress.faces) == (200, 200, 400)
    await first.close()
    await second.close()


@pytest.mark.parametrize(
    "url", ["", "nonsense", "mysql://root:geheim@host/x", "sqlite://", "sqlite:///:memory:"]
)
async def test_a_url_that_cannot_be_used_names_the_setting_and_no_password(url: str) -> None:
    with pytest.raises(SettingsError, match="FACES_DATABASE_URL") as caught:
        await Catalog.open(url)

    assert "geheim" not in str(caught.value)


async def test_a_server_that_is_away_is_unreachable_without_its_password() -> None:
    with pytest.raises(Unreachable, match=r"PostgreSQL at 127\.0\.0\.1:9") as caught:
        await Catalog.open("postgresql://someone:geheim@127.0.0.1:9/faces")

    assert "geheim" not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_database_that_does_not_exist_names_the_setting(empty_postgres: str) -> None:
    with pytest.raises(LoginRefused, match=r"FACES_DATABASE_URL.*does not exist"):
        await Catalog.open(empty_postgres.rpartition("/")[0] + "/no_such_database")


async def test_a_connection_that_the_server_ends_is_replaced(empty_postgres: str) -> None:
    catalog = await Catalog.open(empty_postgres)
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image], ONE))

    await run_sql(
        empty_postgres,
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
        "WHERE datname = current_database() AND pid <> pg_backend_pid()",
    )

    with suppress(Unreachable):  # that it was ended may have been read, or not yet
        await catalog.ledger.commit([result_of(image)])
    report = await catalog.ledger.commit([result_of(image)])
    assert report.won + report.late == 1
    await catalog.close()


async def test_a_lock_that_is_never_given_up_is_waited_for_and_not_blamed_on_the_data(
    empty_postgres: str,
) -> None:
    catalog = await Catalog.open(empty_postgres)
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image], ONE))
    await catalog.close()
    impatient = await Catalog.open(empty_postgres)
    event.listen(impatient._database.engine.sync_engine, "connect", _wait_for_locks_briefly)
    await impatient._database.engine.dispose()
    blocker = await asyncpg.connect(empty_postgres)

    async with blocker.transaction():
        await blocker.execute("SELECT * FROM images FOR UPDATE")
        with pytest.raises(Unreachable, match="lock timeout"):
            await impatient.ledger.commit([result_of(image)])

    assert (await impatient.ledger.commit([result_of(image)])).won == 1
    await blocker.close()
    await impatient.close()


def _wait_for_locks_briefly(connection: Any, _: object) -> None:  # Any: SQLAlchemy's adapter
    cursor = connection.cursor()
    cursor.execute("SET lock_timeout = '100ms'")
    cursor.close()
    connection.commit()


async def test_a_file_that_is_no_database_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "faces.db").write_bytes(b"this is a letter" * 100)

    with pytest.raises(SettingsError, match="not a SQLite database"):
        await Catalog.open(f"sqlite:///{tmp_path}/faces.db")


async def test_a_folder_that_is_not_there_is_one_clear_line(tmp_path: Path) -> None:
    with pytest.raises(Unreachable, match="unable to open database file"):
        await Catalog.open(f"sqlite:///{tmp_path}/missing/faces.db")


async def test_a_full_disk_is_waited_for_and_then_gone_on_with(tmp_path: Path) -> None:
    database = await Database.open(f"sqlite:///{tmp_path}/faces.db")
    catalog = Catalog(database)
    step = step_of(some_images(500), ONE)

    async with limited_to_its_size(database):
        with pytest.raises(Unreachable, match="full"):
            await catalog.ledger.queue(step)

    assert len(await catalog.ledger.queue(step)) == 500
    await catalog.close()


@asynccontextmanager
async def limited_to_its_size(database: Database) -> AsyncIterator[None]:
    """The file cannot grow, as on a full disk; its limit is one of each connection."""

    def set_limit(pages: int) -> None:
        def limit(connection: sqlite3.Connection, *_: object) -> None:
            cursor = connection.cursor()
            cursor.execute(f"PRAGMA max_page_count = {pages}")
            cursor.close()

        event.listen(database.engine.sync_engine, "checkout", limit)
        listeners.append(limit)

    listeners: list[Callable[..., None]] = []
    set_limit(1)
    yield
    event.remove(database.engine.sync_engine, "checkout", listeners[0])
    set_limit(1 << 30)


async def test_sqlite_keeps_readers_reading_while_another_process_writes(tmp_path: Path) -> None:
    path = tmp_path / "faces.db"
    catalog = await Catalog.open(f"sqlite:///{path}")
    await catalog.ledger.queue(step_of(some_images(3), ONE))
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    writer.execute("UPDATE submissions SET name = 'changed'")

    assert (await catalog.reader.submission(ONE)).name == "holiday"

    writer.execute("COMMIT")
    assert (await catalog.reader.submission(ONE)).name == "changed"
    writer.close()
    await catalog.close()


async def test_a_killed_writer_leaves_a_readable_file_with_all_it_committed(
    tmp_path: Path,
) -> None:
    url = f"sqlite:///{tmp_path}/faces.db"
    program = (
        "import asyncio, sys\n"
        "from shared.catalog import Catalog\n"
        "from tests.support.catalogs import some_images, step_of\n"
        "async def main():\n"
        "    catalog = await Catalog.open(sys.argv[1])\n"
        "    for part in range(10**6):\n"
        "        await catalog.ledger.queue(step_of(some_images(100), '1' * 32, part=part))\n"
        "        print(part, flush=True)\n"
        "asyncio.run(main())\n"
    )
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, url, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    told = [await process.stdout.readline() for _ in range(5)]

    process.kill()
    told += (await process.stdout.read()).splitlines()
    await process.wait()

    catalog = await Catalog.open(url)
    named = (await catalog.reader.submission(ONE)).named
    assert named >= 100 * len(told)
    assert named % 100 == 0
    with sqlite3.connect(tmp_path / "faces.db") as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()
    await catalog.close()


async def test_a_writer_that_is_cancelled_while_it_waits_leaves_no_lock_behind(
    tmp_path: Path,
) -> None:
    file = tmp_path / "faces.db"
    database = await Database.open(f"sqlite:///{file}")
    other = sqlite3.connect(file, isolation_level=None, timeout=60, check_same_thread=False)
    other.execute("BEGIN IMMEDIATE")

    async def write() -> None:
        async with database.writing():
            pytest.fail("there were two writers")

    cancelled = asyncio.create_task(write())
    await asyncio.wait([cancelled], timeout=0.1)
    cancelled.cancel()
    other.execute("ROLLBACK")
    await asyncio.wait([cancelled])
    assert cancelled.cancelled()
    await asyncio.to_thread(other.execute, "BEGIN IMMEDIATE")  # raises after 60 s where it cannot
    other.execute("ROLLBACK")
    async with database.writing() as connection:
        await connection.execute(text("SELECT 1"))
    other.close()
    await database.close()
