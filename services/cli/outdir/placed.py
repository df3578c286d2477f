"""What lies in OUT/annotated by the record of it: found, given sidecars, and forgotten.

A sidecar is ours as long as its content is what we wrote. One that a photo manager changed since
(named a face, say) is left alone: that work is not ours to undo.
"""

import hashlib
import os
import sqlite3
from collections.abc import Iterable
from enum import Enum
from pathlib import Path
from types import TracebackType
from typing import Self


class Written(Enum):
    """What became of a sidecar."""

    NEW = "new"
    SAME = "same"
    KEPT = "kept"


class Placed:
    """The record beside the tree, for whoever holds OUT's lock. Names are relative to the tree."""

    def __init__(self, out: Path) -> None:
        self.annotated = out / "annotated"
        self._record = sqlite3.connect(out / ".faces" / "layout.db", isolation_level=None)
        self._record.execute("PRAGMA journal_mode=WAL")
        self._record.execute("PRAGMA synchronous=NORMAL")
        self._record.execute(
            "CREATE TABLE IF NOT EXISTS places"
            "(source TEXT PRIMARY KEY, target TEXT UNIQUE NOT NULL, object TEXT NOT NULL)"
            " WITHOUT ROWID"
        )
        self._record.execute(
            "CREATE TABLE IF NOT EXISTS sidecars"
            "(name TEXT PRIMARY KEY, target TEXT NOT NULL, digest BLOB NOT NULL) WITHOUT ROWID"
        )
        self._record.execute("CREATE INDEX IF NOT EXISTS sidecars_of ON sidecars (target)")
        self._record.execute("CREATE INDEX IF NOT EXISTS places_of ON places (object)")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._record.close()

    def target(self, source_uri: str, object_key: str) -> str | None:
        """The name under which this picture of this source lies in the tree."""
        row = self._record.execute(
            "SELECT target FROM places WHERE source = ? AND object = ?", (source_uri, object_key)
        ).fetchone()
        return None if row is None or not (self.annotated / row[0]).exists() else str(row[0])

    def suffixes(self) -> set[str]:
        """Of the sidecars that were asked for before."""
        rows = self._record.execute(
            "SELECT DISTINCT substr(name, length(target) + 1) FROM sidecars"
        )
        return {str(suffix) for (suffix,) in rows}

    def write_sidecar(self, target: str, suffix: str, content: bytes) -> Written:
        """Write `target` + `suffix` unless somebody else's file, or a changed one, is there.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        name = target + suffix
        path = self.annotated / name
        digest = hashlib.sha256(content).digest()
        row = self._record.execute("SELECT digest FROM sidecars WHERE name = ?", (name,)).fetchone()
        if os.path.lexists(path):
            there = _digest(path)
            if there == digest:
                if row is None or row[0] != digest:
                    self._remember(name, target, digest)
                return Written.SAME
            if row is None or there != row[0]:
                return Written.KEPT
        beside = path.parent / f".{hashlib.sha256(name.encode()).hexdigest()[:16]}.part"
        beside.write_bytes(content)
        beside.replace(path)
        self._remember(name, target, digest)
        return Written.NEW

    def drop_stale_sidecars(self) -> int:
        """Delete our own sidecars whose picture is no longer there; how many."""
        rows = self._record.execute(
            "SELECT name, digest FROM sidecars WHERE target NOT IN (SELECT target FROM places)"
        ).fetchall()
        for name, digest in rows:
            path = self.annotated / name
            if _digest(path) == digest:
                path.unlink()
            self._record.execute("DELETE FROM sidecars WHERE name = ?", (name,))
        return len(rows)

    def forget(self, keys: Iterable[str]) -> int:
        """Delete from the tree and the record what was made of these objects; how many files.

        Sidecars go too, whoever changed them since: they say who is in a forgotten picture.
        """
        removed = 0
        for key in keys:
            places = self._record.execute(
                "SELECT source, target FROM places WHERE object = ?", (key,)
            ).fetchall()
            for source, target in places:
                found = self._record.execute("SELECT name FROM sidecars WHERE target = ?", [target])
                names = [target, *(name for (name,) in found)]
                for name in names:
                    path = self.annotated / name
                    removed += os.path.lexists(path)
                    path.unlink(missing_ok=True)
                self._record.execute("DELETE FROM sidecars WHERE target = ?", (target,))
                self._record.execute("DELETE FROM places WHERE source = ?", (source,))
                self._drop_empty(self.annotated / target)
        return removed

    def _drop_empty(self, path: Path) -> None:
        """Folders' names are of the forgotten too: empty ones go, up to the tree itself."""
        for folder in path.parents:
            if folder == self.annotated or not folder.is_relative_to(self.annotated):
                return
            try:
                folder.rmdir()
            except OSError:
                return  # something else is in it

    def _remember(self, name: str, target: str, digest: bytes) -> None:
        self._record.execute(
            "INSERT OR REPLACE INTO sidecars VALUES (?, ?, ?)", (name, target, digest)
        )


def _digest(path: Path) -> bytes:
    try:
        return hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return b""
