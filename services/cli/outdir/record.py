"""The record of OUT: which source's result lies where in OUT/annotated, and our sidecars.

A SQLite file beside the tree, for whoever holds OUT's lock. Names are relative to OUT/annotated.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from shared.folders.new_files import make_private_file
from shared.urls import file_path

TABLES = (
    """CREATE TABLE IF NOT EXISTS places
        (source TEXT PRIMARY KEY, target TEXT UNIQUE NOT NULL, object TEXT NOT NULL)
        WITHOUT ROWID""",
    "CREATE TABLE IF NOT EXISTS roots (path BLOB PRIMARY KEY, folder BLOB NOT NULL) WITHOUT ROWID",
    "CREATE TABLE IF NOT EXISTS followed (path BLOB PRIMARY KEY) WITHOUT ROWID",
    """CREATE TABLE IF NOT EXISTS sidecars
        (name TEXT PRIMARY KEY, target TEXT NOT NULL, digest BLOB NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS sidecars_of ON sidecars (target)",
    """CREATE TABLE IF NOT EXISTS beside
        (source TEXT PRIMARY KEY, name BLOB NOT NULL, made INTEGER NOT NULL) WITHOUT ROWID""",
    "CREATE INDEX IF NOT EXISTS places_of ON places (object)",
)


ADDED = {"generation": "INTEGER", "size": "INTEGER"}
"""Columns of `places` that records of earlier versions lack."""


@dataclass(frozen=True)
class Place:
    """Where the result of a source lies.

    Attributes:
        target: its name; `object`, the key of the object that it is.
        generation, size: of that object as it was placed, the size in bytes; None in what an
            earlier version placed.
    """

    source: str
    target: str
    object: str
    generation: int | None = None
    size: int | None = None


@dataclass(frozen=True)
class Beside:
    """The sidecar beside an original: its name in that folder, and whether we made the file."""

    name: str
    made: bool


class Record:
    """The open record. `places`: source to name and object; `roots`: the paths that runs were
    given, `followed`: those below which links were; `sidecars`: name to the picture it belongs to
    and the SHA-256 of what we wrote."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._connection.execute("PRAGMA journal_mode=WAL")
        self._connection.execute("PRAGMA synchronous=NORMAL")
        self._connection.execute("PRAGMA secure_delete=ON")  # names of what is forgotten
        for statement in TABLES:
            self._connection.execute(statement)
        there = {name for _, name, *_ in self._connection.execute("PRAGMA table_info(places)")}
        for name, type_ in ADDED.items():
            if name not in there:
                self._connection.execute(f"ALTER TABLE places ADD COLUMN {name} {type_}")

    @staticmethod
    def file(out: Path) -> Path:
        """Where the record of an output folder is."""
        return out / ".faces" / "layout.db"

    @classmethod
    @contextmanager
    def open(cls, file: Path) -> Iterator["Record"]:
        """The record in a file, made where there is none."""
        with closing(cls._connect(file)) as connection:
            yield cls(connection)

    @staticmethod
    def _connect(file: Path) -> sqlite3.Connection:
        make_private_file(file)
        return sqlite3.connect(file, check_same_thread=False, isolation_level=None)

    @contextmanager
    def one_commit(self) -> Iterator[None]:
        """What is written in the block is committed together, also what came before an error."""
        self._connection.execute("BEGIN")
        try:
            yield
        finally:
            self._connection.execute("COMMIT")

    def place(self, source: str) -> Place | None:
        """Where a source's result lies."""
        row = self._connection.execute(
            "SELECT source, target, object, generation, size FROM places WHERE source = ?",
            (source,),
        ).fetchone()
        return None if row is None else Place(*row)

    def places_of(self, object_key: str) -> list[Place]:
        """Where an object lies: one place a source that has it."""
        rows = self._connection.execute(
            "SELECT source, target, object, generation, size FROM places WHERE object = ?",
            (object_key,),
        )
        return [Place(*row) for row in rows]

    def is_taken(self, target: str) -> bool:
        """Whether a source has this name."""
        row = self._connection.execute("SELECT 1 FROM places WHERE target = ?", (target,))
        return row.fetchone() is not None

    def keep(self, place: Place) -> None:
        """Note where a source's result lies now."""
        self._connection.execute(
            "INSERT OR REPLACE INTO places (source, target, object, generation, size) "
            "VALUES (?, ?, ?, ?, ?)",
            (place.source, place.target, place.object, place.generation, place.size),
        )

    def drop(self, source: str) -> None:
        """A source's result lies nowhere any more."""
        self._connection.execute("DELETE FROM places WHERE source = ?", (source,))

    def forget_source(self, source: str) -> None:
        """Nobody gave this file to a run, not even by its name."""
        with suppress(ValueError):
            path = file_path(source)
            for table in ("roots", "followed"):
                self._connection.execute(f"DELETE FROM {table} WHERE path = ?", (path,))  # noqa: S608

    def leave_no_trace(self) -> None:
        """Write the file anew, without what was deleted in it."""
        self._connection.execute("VACUUM")
        self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def roots(self) -> list[tuple[bytes, bytes]]:
        """The paths that runs were given, and the folder of each one's pictures."""
        return self._connection.execute("SELECT path, folder FROM roots").fetchall()

    def keep_roots(self, roots: Iterable[tuple[bytes, bytes]]) -> None:
        """Note a run's paths."""
        self._connection.executemany("INSERT OR REPLACE INTO roots VALUES (?, ?)", roots)

    def followed(self) -> list[bytes]:
        """Those of the paths below which links were followed, by the last run of each."""
        return [path for (path,) in self._connection.execute("SELECT path FROM followed")]

    def keep_followed(self, paths: Iterable[bytes], *, follow: bool) -> None:
        """Note whether a run followed links below its paths."""
        statement = (
            "INSERT OR IGNORE INTO followed VALUES (?)"
            if follow
            else "DELETE FROM followed WHERE path = ?"
        )
        self._connection.executemany(statement, [(path,) for path in paths])

    def sidecar_suffixes(self) -> set[str]:
        """Of the sidecars that were written, such as `.xmp`."""
        rows = self._connection.execute(
            "SELECT DISTINCT substr(name, length(target) + 1) FROM sidecars"
        )
        return {str(suffix) for (suffix,) in rows}

    def sidecars_of(self, target: str) -> list[str]:
        """The names of a picture's sidecars."""
        rows = self._connection.execute("SELECT name FROM sidecars WHERE target = ?", (target,))
        return [str(name) for (name,) in rows]

    def stale_sidecars(self) -> list[tuple[str, bytes]]:
        """Names and digests of the sidecars whose picture lies nowhere any more."""
        return self._connection.execute(
            "SELECT name, digest FROM sidecars WHERE target NOT IN (SELECT target FROM places)"
        ).fetchall()

    def sidecar_digest(self, name: str) -> bytes | None:
        """The digest of what we wrote there; None where we wrote nothing."""
        row = self._connection.execute(
            "SELECT digest FROM sidecars WHERE name = ?", (name,)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def keep_sidecar(self, name: str, target: str, digest: bytes) -> None:
        """Note a sidecar of the picture at `target`."""
        self._connection.execute(
            "INSERT OR REPLACE INTO sidecars VALUES (?, ?, ?)", (name, target, digest)
        )

    def drop_sidecar(self, name: str) -> None:
        """We have no sidecar of this name any more."""
        self._connection.execute("DELETE FROM sidecars WHERE name = ?", (name,))

    def has_beside(self) -> bool:
        """Whether we wrote sidecars beside originals."""
        return self._connection.execute("SELECT 1 FROM beside LIMIT 1").fetchone() is not None

    def beside_of(self, source: str) -> Beside | None:
        """The sidecar that we wrote, or wrote into, beside a source."""
        row = self._connection.execute(
            "SELECT name, made FROM beside WHERE source = ?", (source,)
        ).fetchone()
        return None if row is None else Beside(os.fsdecode(row[0]), bool(row[1]))

    def keep_beside(self, source: str, name: str, *, made: bool) -> None:
        """Note the sidecar beside a source."""
        self._connection.execute(
            "INSERT OR REPLACE INTO beside VALUES (?, ?, ?)", (source, os.fsencode(name), made)
        )

    def drop_beside(self, source: str) -> None:
        """We have no regions beside a source any more."""
        self._connection.execute("DELETE FROM beside WHERE source = ?", (source,))
