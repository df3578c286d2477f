"""An open database: its URL, its transactions, and whether it can be worked with now."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import partial
from pathlib import Path
from weakref import WeakValueDictionary

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import text
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.at_work import AtWork
from shared.catalog.failures import ADVICE, READ_ONLY, blame_of_setting, explain
from shared.catalog.migrations import migrate
from shared.catalog.postgres import PING_SECONDS, Postgres, answering_within
from shared.catalog.restored import renew, version_of
from shared.catalog.sqlite import sqlite_engine
from shared.catalog.values import Refused
from shared.errors import SettingsError, Unreachable

CHECK_LIMIT_SECONDS = 3.5
"""Longest time until `Database.check` says something, whatever the server does: before those lose
patience who ask it (see `shared.health`), for they cannot say why."""

CHECKS = {
    "sqlite": "SELECT max(version), 0 FROM schema_version",
    "postgresql": "SELECT max(version), current_setting('transaction_read_only') = 'on' "
    "FROM schema_version",
}
"""Whether the tables are there, and whether no writes are taken."""

POSTGRES_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl")
"""Options of the URL, with libpq's meaning: asyncpg reads them from a DSN."""

_writer_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


class Database:
    """One open database. `reading` and `writing` give a connection inside a transaction."""

    def __init__(self, url: URL) -> None:
        self._server: Postgres | None = None
        if url.get_backend_name() == "postgresql":
            self._server = Postgres(url)
            self._at_work = AtWork(self._server)
            self.engine = self._server.engine
            self.place = f"PostgreSQL at {url.host}:{url.port or 5432}"
        else:
            self.engine = sqlite_engine(url)
            self.place = str(url.database)
        # SQLite has one writer at a time. Waiting here is fair and wakes at once; its own busy
        # handler sleeps. All that open the file in this process share the lock.
        self._writer = _writer_locks.setdefault(self.place, asyncio.Lock())
        self._was_away = False
        self._renewing = asyncio.Lock()

    @classmethod
    async def open(cls, url: str) -> "Database":
        """Connect, and bring the schema up to date.

        Raises:
            SettingsError: the URL cannot be used, or the catalog is of a newer program.
            LoginRefused: the server lets nobody in with this URL, or lacks the database.
            Unreachable: the server or the disk does not answer.
        """
        parsed = _parse(url)
        if parsed.drivername == "sqlite+aiosqlite":
            folder = Path(str(parsed.database)).parent
            if not folder.is_dir():  # asked first: a driver that fails leaves its thread behind
                raise Unreachable(
                    f"{parsed.database}: unable to open database file: no folder {folder}"
                )
        database = cls(parsed)
        try:
            await migrate(partial(database._write, patient=True))
        except BaseException as error:  # also a cancellation: leave no connection behind
            await database.close()
            if why := blame_of_setting(error.__cause__):
                raise SettingsError(f"FACES_DATABASE_URL: {database.place}: {why}") from error
            raise
        return database

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()

    async def leave_no_trace(self) -> None:
        """Of SQLite, write the file anew, without what was deleted in it; who calls sees to it
        that nobody works with it. PostgreSQL has its own ways, and a log for its replicas.

        Raises:
            Unreachable: the disk is full, or somebody works with it after all.
        """
        if self._server:
            return
        with self._plain_errors():
            async with self._writer, self.engine.connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                assert driver is not None
                for statement in ("VACUUM", "PRAGMA wal_checkpoint(TRUNCATE)"):
                    await driver.execute(statement)

    async def check(self) -> None:
        """Whether work can be done now, said within CHECK_LIMIT_SECONDS.

        A connection that is found dead is dropped, with all that rest beside it.

        Raises:
            Unreachable: it cannot, and why; or idle connections were dead, and new ones do better.
        """
        silent = self._server.silent if self._server else 0
        with self._plain_errors():
            async with asyncio.timeout(CHECK_LIMIT_SECONDS), self._read() as connection:
                if self._was_away:  # whoever works next makes the tables anew: that takes its time
                    await version_of(connection)
                if await self._takes_no_writes(connection):
                    await connection.invalidate()  # its name may lead to another server by now
                    raise Unreachable(f"the catalog ({self.place}): {ADVICE[READ_ONLY]}")
            if self._server and self._server.silent > silent:
                raise Unreachable(f"the catalog ({self.place}): idle connections were lost")

    async def _takes_no_writes(self, connection: AsyncConnection) -> bool:
        if not self._server:
            return bool((await connection.execute(text(CHECKS["sqlite"]))).one()[1])
        driver = (await connection.get_raw_connection()).driver_connection
        with answering_within(driver, PING_SECONDS):
            return bool((await connection.execute(text(CHECKS["postgresql"]))).one()[1])

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state and changes nothing."""
        await self._be_whole()
        async with self._read() as connection:
            yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is committed at the end of the block, or leaves nothing behind."""
        await self._be_whole()
        async with self._write() as connection:
            yield connection

    @asynccontextmanager
    async def _read(self) -> AsyncIterator[AsyncConnection]:
        with self._plain_errors():
            async with self.engine.connect() as connection:
                with self._watched(connection):
                    async with connection.begin():
                        yield connection

    @asynccontextmanager
    async def _write(self, *, patient: bool = False) -> AsyncIterator[AsyncConnection]:
        """`patient`: each statement may take as long as the server is at work on it."""
        with self._plain_errors():
            async with (
                nullcontext() if self._server else self._writer,
                self.engine.connect() as connection,
            ):
                if not self._server:
                    await connection.execution_options(faces_writes=True)
                with self._watched(connection, patient=patient):
                    async with connection.begin():
                        yield connection

    @contextmanager
    def _watched(self, connection: AsyncConnection, *, patient: bool = False) -> Iterator[None]:
        if self._server is None:
            yield
        else:
            with self._at_work.watched(connection, patient=patient):
                yield

    async def _be_whole(self) -> None:
        """After an outage: the tables may have been restored meanwhile, or are being restored."""
        if not self._was_away:
            return
        async with self._renewing:
            if self._was_away:
                await renew(self._read, partial(self._write, patient=True))
                self._was_away = False

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._explained(error, lost=error.connection_invalidated) from error
        except OverflowError as error:  # sqlite3's for integers of more than 64 bits
            raise Refused(f"the catalog refuses a value: {error}") from error
        except (
            OSError,
            PoolTimeout,
            asyncpg.PostgresError,
            asyncpg.InterfaceError,
            asyncpg.InternalClientError,
        ) as error:
            raise self._explained(error, lost=True) from error

    def _explained(self, error: Exception, *, lost: bool) -> Refused | Unreachable:
        explained = explain(error, self.place, lost=lost)
        if isinstance(explained, Unreachable):
            self._was_away = True
        return explained


def _parse(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):  # a port that is no number: its words may be a password's
        raise SettingsError(
            "FACES_DATABASE_URL: not a URL; write sqlite:///file or "
            "postgresql://user:password@host/name"
        ) from None
    backend = parsed.get_backend_name()
    if backend == "sqlite":
        if not parsed.database or parsed.database == ":memory:":
            raise SettingsError("FACES_DATABASE_URL: name a file: sqlite:///faces.db")
        path = Path(parsed.database).absolute()
        return parsed.set(drivername="sqlite+aiosqlite", database=str(path))
    if backend in ("postgresql", "postgres"):
        if unknown := sorted(set(parsed.query) - set(POSTGRES_OPTIONS)):
            raise SettingsError(
                f"FACES_DATABASE_URL: unknown option {unknown[0][:40]!r}; known: "
                + ", ".join(POSTGRES_OPTIONS)
            )
        for option in ("sslrootcert", "sslcert", "sslkey", "sslcrl"):
            file = parsed.query.get(option)
            if isinstance(file, str) and not Path(file).is_file():
                raise SettingsError(f"FACES_DATABASE_URL: {option}={file}: there is no such file")
        return parsed.set(drivername="postgresql+asyncpg")
    raise SettingsError(
        f"FACES_DATABASE_URL: cannot use {backend}; use sqlite:///file or "
        "postgresql://user:password@host/name"
    )
