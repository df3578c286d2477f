"""A database that is dropped and restored while programs run: they wait until it is whole."""

import pytest

from shared.catalog import Catalog, migrations
from shared.catalog.database import Database
from shared.catalog.migrations import STEPS
from shared.errors import Unreachable
from tests.support.catalogs import result_of, some_images, step_of
from tests.support.postgres import GuardedPostgres, database, end_connections, guarded

__all__ = ["database", "guarded"]

ONE = "1" * 32


@pytest.mark.parametrize("version", [2, len(STEPS)])
async def test_until_a_backup_is_restored_as_a_whole_nothing_is_made_or_written(
    version: int, guarded: GuardedPostgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as older:
        older.setattr(migrations, "STEPS", STEPS[:version])
        await (await Database.open(guarded.url_of(database))).close()
    guarded.dump(database)
    catalog = await Catalog.open(guarded.url_of(database))
    (image,) = some_images(1)

    await end_connections(guarded)
    await guarded.run(f"DROP DATABASE {database} WITH (FORCE)")
    with pytest.raises(Unreachable):
        await catalog.ledger.queue(step_of([image], ONE))
    await guarded.run(f"CREATE DATABASE {database} OWNER faces")
    for section in ("pre-data", "data", "post-data"):
        with pytest.raises(Unreachable, match="not whole"):
            await catalog.check()
        with pytest.raises(Unreachable, match="not whole"):
            await catalog.ledger.queue(step_of([image], ONE))
        guarded.restore(database, section)

    await catalog.ledger.queue(step_of([image], ONE))
    assert (await catalog.ledger.commit([result_of(image)])).won == 1
    connection = await guarded.connect(database)
    assert await connection.fetchval("SELECT max(version) FROM schema_version") == len(STEPS)
    await connection.close()
    await catalog.close()


async def test_a_check_leaves_it_to_whoever_works_to_bring_an_older_backup_up_to_date(
    guarded: GuardedPostgres, database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A check has seconds, and a migration may take longer: it would be broken off each time."""
    with monkeypatch.context() as older:
        older.setattr(migrations, "STEPS", STEPS[:2])
        await (await Database.open(guarded.url_of(database))).close()
    guarded.dump(database)
    catalog = await Catalog.open(guarded.url_of(database))
    await end_connections(guarded)
    await guarded.run(f"DROP DATABASE {database} WITH (FORCE)")
    with pytest.raises(Unreachable):
        await catalog.check()
    await guarded.run(f"CREATE DATABASE {database} OWNER faces")
    for section in ("pre-data", "data", "post-data"):
        guarded.restore(database, section)

    await catalog.check()
    connection = await guarded.connect(database)
    version = "SELECT max(version) FROM schema_version"
    assert await connection.fetchval(version) == 2
    await catalog.ledger.queue(step_of(some_images(1), ONE))
    assert await connection.fetchval(version) == len(STEPS)
    await connection.close()
    await catalog.close()


async def test_a_backup_of_a_newer_program_is_waited_out_by_those_that_run(
    guarded: GuardedPostgres, database: str
) -> None:
    catalog = await Catalog.open(guarded.url_of(database))
    await end_connections(guarded)
    await guarded.run("ALTER ROLE faces NOLOGIN")
    with pytest.raises(Unreachable):
        await catalog.check()
    await guarded.run("ALTER ROLE faces LOGIN")
    await guarded.run("INSERT INTO schema_version VALUES (99)", database=database)

    with pytest.raises(Unreachable, match="version 99, made by a newer program"):
        await catalog.check()

    await guarded.run("DELETE FROM schema_version WHERE version = 99", database=database)
    await catalog.check()
    await catalog.close()
