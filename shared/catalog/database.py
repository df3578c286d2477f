"""Opening a database: its URL, its connections, and its errors in words for people."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from weakref import WeakValueDictionary

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from shared.catalog.migrations import migrate
from shared.catalog.sqlite import sqlite_engine
from shared.catalog.values import Refused
from shared.errors import SettingsError, Unreachable

POSTGRES_CONNECT_SECONDS = 10
POSTGRES_COMMAND_SECONDS = 120

POSTGRES_OPTIONS = ("sslmode", "sslrootcert", "sslcert", "sslkey", "sslpassword", "sslcrl")
"""Options of the URL, with libpq's meaning: asyncpg reads them from a DSN."""

REFUSING_SQLSTATES = ("22", "23")
"""Classes of PostgreSQL's error codes that blame the data: data exception, integrity."""

SQLITE_WAITS = ("locked", "busy", "full", "disk i/o", "unable to open", "readonly", "read-only")
"""Words in SQLite's operational errors that blame the disk or another process."""

_writer_locks: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()


class Database:
    """One open database. `reading` and `writing` give a connection inside a transaction."""

    def __init__(self, engine: AsyncEngine, place: str) -> None:
        self.engine = engine
        self.place = place
        self.postgres = engine.dialect.name == "postgresql"
        # SQLite has one writer at a time. Waiting here is fair and wakes at once; its own busy
        # handler sleeps. All that open the file in this process share the lock.
        self._writer = _writer_locks.setdefault(place, asyncio.Lock())

    @classmethod
    async def open(cls, url: str) -> "Database":
        """Connect, and bring the schema up to date.

        Raises:
            SettingsError: the URL cannot be used, or the catalog is of a newer program.
            Unreachable: the server or the disk does not answer.
        """
        parsed = _parse(url)
        if parsed.drivername == "sqlite+aiosqlite":
            folder = Path(str(parsed.database)).parent
            if not folder.is_dir():  # asked first: a driver that fails leaves its thread behind
                raise Unreachable(
                    f"{parsed.database}: unable to open database file: no folder {folder}"
                )
            database = cls(sqlite_engine(parsed), str(parsed.database))
        else:
            database = cls(_postgres(parsed), f"PostgreSQL at {parsed.host}:{parsed.port or 5432}")
        try:
            await migrate(database.writing)
        except BaseException:  # also a cancellation: leave no connection behind
            await database.close()
            raise
        return database

    async def close(self) -> None:
        """Close all connections."""
        await self.engine.dispose()

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that sees one state and changes nothing."""
        with self._plain_errors():
            async with self.engine.connect() as connection, connection.begin():
                yield connection

    @asynccontextmanager
    async def writing(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that is committed at the end of the block, or leaves nothing behind."""
        with self._plain_errors():
            if self.postgres:
                async with self.engine.begin() as connection:
                    yield connection
                return
            async with self._writer, self.engine.connect() as connection:
                await connection.execution_options(faces_writes=True)
                async with connection.begin():
                    yield connection

    @contextmanager
    def _plain_errors(self) -> Iterator[None]:
        try:
            yield
        except DBAPIError as error:
            raise self._explain(error.orig or error, lost=error.connection_invalidated) from error
        except OverflowError as error:  # sqlite3's for integers of more than 64 bits
            raise Refused(f"the catalog refuses a value: {error}") from error
        except (OSError, TimeoutError, PoolTimeout, asyncpg.PostgresError) as error:
            raise self._explain(error, lost=True) from error

    def _explain(self, error: BaseException, lost: bool) -> Exception:
        state = str(getattr(error, "sqlstate", None) or "")
        what = _line(error)
        if isinstance(error, sqlite3.Error):
            waits = isinstance(error, sqlite3.OperationalError) and any(
                word in what.lower() for word in SQLITE_WAITS
            )
            refuses = not waits and not isinstance(error, sqlite3.OperationalError)
            if isinstance(error, sqlite3.DatabaseError) and "not a database" in what:
                return SettingsError(f"FACES_DATABASE_URL: {self.place} is not a SQLite database")
        else:
            if isinstance(error.__cause__, asyncpg.ClientConfigurationError):
                return SettingsError(f"FACES_DATABASE_URL: {what}")
            by_driver = isinstance(error.__cause__, asyncpg.DataError | asyncpg.InterfaceError)
            refuses = state[:2] in REFUSING_SQLSTATES or (by_driver and not state and not lost)
        if refuses:
            return Refused(f"the catalog refuses the data: {what}")
        if state[:2] in ("28", "3D"):
            return SettingsError(f"FACES_DATABASE_URL: {self.place} says: {what}")
        return Unreachable(f"the catalog ({self.place}) does not answer: {what}")


def _line(error: BaseException) -> str:
    """The first line of an error, without the class names that drivers put in front."""
    text = (str(error) or type(error).__name__).splitlines()[0]
    return text.rpartition(">: ")[2][:300]


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


def _postgres(url: URL) -> AsyncEngine:
    options = URL.create("postgresql", query=url.query).render_as_string(hide_password=False)
    return create_async_engine(
        url.set(query={}),
        pool_size=4,
        max_overflow=4,
        hide_parameters=True,
        connect_args={
            "dsn": options,  # of the TLS options alone; the rest is given by name
            "timeout": POSTGRES_CONNECT_SECONDS,
            "command_timeout": POSTGRES_COMMAND_SECONDS,
            "server_settings": {"application_name": "faces", "timezone": "UTC"},
        },
    )
