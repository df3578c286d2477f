"""SQLite behind SQLAlchemy: each statement is one call into the connection's thread."""

import os
import sqlite3
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import aiosqlite
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry

from shared.folders.new_files import make_private_file

BUSY_SECONDS = 30
"""How long a writer waits for writers of other processes."""


def sqlite_engine(url: URL) -> AsyncEngine:
    """An engine for a file; a transaction with the option `faces_writes` locks it as it begins."""
    file = _File(Path(str(url.database)))
    engine = create_async_engine(url, hide_parameters=True, async_creator=file.connect)
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "connect", file.note)
    event.listen(engine.sync_engine, "checkout", file.compare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


class _File:
    """The database's file, which is made once: an empty one in its place would be another's.

    A disk may be unmounted, and a backup be put in the file's place, while a program runs. What a
    connection of before writes then is in a file that has no name any more.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._made = False

    async def connect(self) -> "_Connection":
        """Open it; only the first time it may be made."""
        mode = "rw" if self._made else "rwc"
        if not self._made:
            make_private_file(self._path)
        open_ = partial(
            sqlite3.connect, f"{self._path.as_uri()}?mode={mode}", uri=True, timeout=BUSY_SECONDS
        )
        connection = _Connection(open_, iter_chunk_size=64)
        connection._thread.daemon = True  # as SQLAlchemy does: it ends with the process
        return await connection  # type: ignore[return-value]

    def note(self, _connection: object, entry: ConnectionPoolEntry) -> None:
        """Keep which file it is that was opened."""
        entry.info["file"] = self._identity()
        self._made = True

    def compare(self, _connection: object, entry: ConnectionPoolEntry, _: object) -> None:
        """Before a connection is used: whether its file still has its name.

        Raises:
            InvalidatePoolError: it has not.
        """
        if entry.info["file"] != self._identity():
            raise InvalidatePoolError

    def _identity(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self._path)  # noqa: PTH116 - at each transaction; Path's is slower
        except OSError:
            return None
        return found.st_dev, found.st_ino


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
