"""What PostgreSQL refuses everybody is an outage: it blames no value, and work goes on after it."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import NamedTuple

import pytest
from sqlalchemy import make_url, text

from shared.catalog import Catalog, QueuedImage
from shared.catalog.database import Database
from shared.errors import Exit, LoginRefused, Unreachable
from tests.support.catalogs import result_of, some_images, step_of
from tests.support.postgres import (
    PASSWORD,
    GuardedPostgres,
    Standby,
    database,
    end_connections,
    guarded,
)
from tests.support.waiting import wait_until

__all__ = ["database", "guarded"]

ONE = "1" * 32
DRIVER = "postgresql+asyncpg"


class Outage(NamedTuple):
    """How it begins and how it is mended; `{}` is the database. `told`: words of its reason."""

    name: str
    begin: str
    mend: str
    told: str
    where: str = "postgres"
    seen_by_check: bool = True
    at_start: bool = True


OUTAGES = (
    Outage(
        "another password",
        "ALTER ROLE faces PASSWORD 'another'",
        f"ALTER ROLE faces PASSWORD '{PASSWORD}'",
        "password authentication failed.*check the user and the password",
    ),
    Outage(
        "no login",
        "ALTER ROLE faces NOLOGIN",
        "ALTER ROLE faces LOGIN",
        "not permitted to log in",
    ),
    Outage(
        "no such database",
        "ALTER DATABASE {} RENAME TO {}_away",
        "ALTER DATABASE {}_away RENAME TO {}",
        "does not exist; make the database",
    ),
    Outage(
        "a database that takes nobody",
        "ALTER DATABASE {} ALLOW_CONNECTIONS false",
        "ALTER DATABASE {} ALLOW_CONNECTIONS true",
        "not currently accepting connections",
    ),
    Outage(
        "too many connections",
        "ALTER ROLE faces CONNECTION LIMIT 0",
        "ALTER ROLE faces CONNECTION LIMIT -1",
        "too many connections.*max_connections",
    ),
    Outage(
        "no right to connect",
        "REVOKE CONNECT ON DATABASE {} FROM PUBLIC, faces",
        "GRANT CONNECT ON DATABASE {} TO PUBLIC, faces",
        "permission denied for database.*member of their owner",
    ),
    # It holds for new connections alone, as where a name leads to another primary: after its end
    # those that were made meanwhile must go.
    Outage(
        "a read-only default",
        "ALTER ROLE faces SET default_transaction_read_only = on",
        "ALTER ROLE faces RESET default_transaction_read_only",
        "it takes no writes",
    ),
    Outage(
        "a table that is missing",
        "ALTER TABLE images RENAME TO images_away",
        "ALTER TABLE images_away RENAME TO images",
        "tables are not whole",
        where="{}",
        seen_by_check=False,
        at_start=False,
    ),
    Outage(
        "a column that is missing",
        "ALTER TABLE images RENAME generation TO generation_away",
        "ALTER TABLE images RENAME generation_away TO generation",
        "tables are not whole",
        where="{}",
        seen_by_check=False,
        at_start=False,
    ),
    Outage(
        "a schema that is missing",
        "ALTER SCHEMA public RENAME TO away",
        "ALTER SCHEMA away RENAME TO public",
        "tables are not whole",
        where="{}",
    ),
    Outage(
        "a table of somebody else's",
        "ALTER TABLE images OWNER TO postgres",
        "ALTER TABLE images OWNER TO faces",
        "permission denied for table images.*must own the tables",
        where="{}",
        seen_by_check=False,
        at_start=False,
    ),
)


def each(outages: Sequence[Outage]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("outage", outages, ids=[one.name for one in outages])


async def happens(outage: Outage, postgres: GuardedPostgres, database: str) -> None:
    await end_connections(postgres)
    await postgres.run(
        outage.begin.format(database, database), database=outage.where.format(database)
    )
    await end_connections(postgres)


async def is_mended(outage: Outage, postgres: GuardedPostgres, database: str) -> None:
    await postgres.run(
        outage.mend.format(database, database), database=outage.where.format(database)
    )


@pytest.fixture
async def catalog(guarded: GuardedPostgres, database: str) -> AsyncIterator[Catalog]:
    opened = await Catalog.open(guarded.url_of(database))
    yield opened
    await opened.close()


async def a_queued_image(catalog: Catalog) -> QueuedImage:
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image], ONE))
    return image


@each(OUTAGES)
async def test_an_outage_is_waited_for_and_says_why(
    outage: Outage, guarded: GuardedPostgres, database: str, catalog: Catalog
) -> None:
    image = await a_queued_image(catalog)
    await happens(outage, guarded, database)
    try:
        for _ in range(2):  # the first may meet a connection of before
            with pytest.raises(Unreachable) as caught:
                await catalog.ledger.commit([result_of(image)])
        with pytest.raises(Unreachable, match=outage.told):
            await catalog.ledger.commit([result_of(image)])
        if outage.seen_by_check:
            with pytest.raises(Unreachable, match=outage.told):
                await catalog.check()
        assert PASSWORD not in str(caught.value)
    finally:
        await is_mended(outage, guarded, database)

    assert (await catalog.ledger.commit([result_of(image)])).won == 1
    await catalog.check()


async def test_what_a_connection_may_not_write_is_tried_over_another(
    guarded: GuardedPostgres, database: str
) -> None:
    """After a failover old connections lead to what is a standby now, new ones to the primary."""
    await guarded.run("ALTER ROLE faces SET default_transaction_read_only = on")
    opened = Database(make_url(guarded.url_of(database)).set(drivername=DRIVER))
    async with opened.reading() as connection:
        assert await connection.scalar(text("SHOW transaction_read_only")) == "on"
    await guarded.run("ALTER ROLE faces RESET default_transaction_read_only")

    with pytest.raises(Unreachable, match="takes no writes"):
        async with opened._write() as connection:
            await connection.execute(text("CREATE TABLE made (n INTEGER)"))
    async with opened._write() as connection:
        await connection.execute(text("CREATE TABLE made (n INTEGER)"))
    await opened.close()


@each([one for one in OUTAGES if one.at_start])
async def test_who_starts_in_an_outage_waits_for_its_end(
    outage: Outage, guarded: GuardedPostgres, database: str
) -> None:
    await happens(outage, guarded, database)
    try:
        if outage.name != "a schema that is missing":
            with pytest.raises(Unreachable, match=outage.told):
                await Catalog.open(guarded.url_of(database))
        else:  # on an empty database it is the tables' first making that is refused
            with pytest.raises(Unreachable, match="no schema has been selected"):
                await Catalog.open(guarded.url_of(database))
    finally:
        await is_mended(outage, guarded, database)

    opened = await Catalog.open(guarded.url_of(database))
    await opened.check()
    await opened.close()


async def test_a_command_ends_at_a_refused_login_as_at_a_wrong_setting(
    guarded: GuardedPostgres, database: str
) -> None:
    with pytest.raises(LoginRefused, match="FACES_DATABASE_URL") as caught:
        await Catalog.open(guarded.url_of(database, password="guess"))

    assert caught.value.exit_status is Exit.USAGE
    assert "guess" not in str(caught.value)


@pytest.mark.parametrize(
    ("setting", "told"),
    [("statement_timeout", "raise statement_timeout"), ("lock_timeout", "somebody holds a lock")],
)
async def test_a_time_limit_of_the_server_blames_no_value(
    setting: str, told: str, guarded: GuardedPostgres, database: str
) -> None:
    await guarded.run(f"ALTER ROLE faces SET {setting} = '200ms'")
    catalog = await Catalog.open(guarded.url_of(database))
    image = await a_queued_image(catalog)

    blocker = await guarded.connect(database)
    async with blocker.transaction():
        await blocker.execute("LOCK TABLE images")
        with pytest.raises(Unreachable, match=told):
            await catalog.ledger.commit([result_of(image)])
    await blocker.close()

    assert (await catalog.ledger.commit([result_of(image)])).won == 1
    await catalog.close()


async def test_connections_that_the_server_ends_for_being_idle_cost_nothing(
    guarded: GuardedPostgres, database: str
) -> None:
    await guarded.run("ALTER ROLE faces SET idle_session_timeout = '500ms'")
    catalog = await Catalog.open(guarded.url_of(database))
    image = await a_queued_image(catalog)

    async def ended() -> bool:
        return await guarded.sessions(database) == 0

    await wait_until(ended, "the server has ended all")

    assert (await catalog.ledger.commit([result_of(image)])).won == 1
    await catalog.close()


async def test_a_standby_is_waited_for_until_it_is_promoted(
    guarded: GuardedPostgres, database: str
) -> None:
    await (await Catalog.open(guarded.url_of(database))).close()
    standby = Standby(guarded)
    try:
        await asyncio.to_thread(standby.create)
        with pytest.raises(Unreachable, match=r"it takes no writes.*name the primary"):
            await Catalog.open(standby.url_of(database))

        await asyncio.to_thread(standby.promote)

        catalog = await Catalog.open(standby.url_of(database))
        await catalog.check()
        await catalog.close()
    finally:
        await asyncio.to_thread(standby.remove)
