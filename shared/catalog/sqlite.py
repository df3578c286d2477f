"""SQLite behind SQLAlchemy: each statement is one call into the connection's thread."""

import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Self

import aiosqlite
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

BUSY_SECONDS = 30
"""How long a writer waits for writers of other processes."""


def sqlite_engine(url: URL) -> AsyncEngine:
    """An engine for a file; a transaction with the option `faces_writes` locks it as it begins."""
    engine = create_async_engine(
        url, hide_parameters=True, async_creator=partial(_connect, str(url.database))
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


class _Connection(aiosqlite.Connection):
    """aiosqlite's connection, without two costs that were larger than SQLite's own.

    Calling into its thread takes about as long as a small statement. SQLAlchemy does so four times
    a statement (open a cursor, execute, fetch, close), and once more to roll back a connection that
    is given back with no transaction open.
    """

    def cursor(self) -> "_Cursor":  # type: ignore[override]
        """A cursor that is opened when it executes."""
        return _Cursor(self)

    async def in_thread(self, call: Callable[[], None]) -> None:
        """Run it in the thread that owns the connection."""
        await self._execute(call)  # type: ignore[no-untyped-call]

    async def rollback(self) -> None:
        """Roll back if a transaction is open.

        Where a statement was cancelled its thread goes on, so this may not be known yet; SQLAlchemy
        closes such a connection.
        """
        if self.in_transaction:
            await super().rollback()


class _Cursor:
    """What SQLAlchemy needs of a cursor; it reads all rows as it executes."""

    def __init__(self, connection: _Connection) -> None:
        self._connection = connection
        self._rows: list[Any] = []  # Any: a row mixes the types of its columns
        self.description: Any = None  # as PEP 249 has it
        self.rowcount = -1
        self.lastrowid: int | None = None
        self.arraysize = 1

    async def __aenter__(self) -> Self:
        return self

    async def execute(self, statement: str, parameters: Sequence[Any] = ()) -> Self:
        """Run one statement and read its rows."""
        await self._connection.in_thread(partial(self._run, "execute", statement, parameters))
        return self

    async def executemany(self, statement: str, rows: Sequence[Sequence[Any]]) -> Self:
        """Run one statement for each of many rows of parameters."""
        await self._connection.in_thread(partial(self._run, "executemany", statement, rows))
        return self

    def _run(self, how: str, statement: str, parameters: Sequence[Any]) -> None:
        cursor = self._connection._conn.cursor()  # aiosqlite has no other way
        try:
            getattr(cursor, how)(statement, parameters)
            self.description = cursor.description
            self._rows = cursor.fetchall() if cursor.description else []
            self.rowcount, self.lastrowid = cursor.rowcount, cursor.lastrowid
        finally:
            cursor.close()

    async def fetchall(self) -> list[Any]:
        """The rows of the statement."""
        return self._rows

    async def close(self) -> None:
        """Nothing: it is open only while it executes."""


async def _connect(file: str) -> _Connection:
    connection = _Connection(
        partial(sqlite3.connect, file, timeout=BUSY_SECONDS), iter_chunk_size=64
    )
    connection._thread.daemon = True  # as SQLAlchemy does: it ends with the process
    return await connection  # type: ignore[return-value]


def _prepare(connection: sqlite3.Connection, _record: ConnectionPoolEntry) -> None:
    connection.isolation_level = None  # the transactions are begun by `_begin`
    cursor = connection.cursor()
    # WAL: readers of other processes go on while one writes.
    cursor.execute("PRAGMA journal_mode = WAL")
    # In WAL mode NORMAL keeps the file whole through a crash of the machine, but may lose the
    # last transactions of such a crash (never of a killed process). What is lost is queued or
    # unknown again, so a rerun does it again; FULL would cost an fsync for each batch.
    cursor.execute("PRAGMA synchronous = NORMAL")
    cursor.execute("PRAGMA foreign_keys = ON")
    cursor.execute("PRAGMA cache_size = -65536")  # 64 MiB: the index of a million images
    cursor.close()


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("faces_writes")
    # IMMEDIATE: a reader that becomes a writer half way could only fail, not wait.
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
