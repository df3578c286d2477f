"""`OUT/annotated/`: results under their pictures' own names, as a mirror of the input folders.

A result is a hard link to its object (a reflink or a copy where that is not possible). What lies
where is recorded beside it, so that placing is idempotent, a newer result replaces its older one,
and two different pictures never share a name.
"""

import fcntl
import hashlib
import os
import shutil
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Self
from urllib.parse import unquote_to_bytes

import structlog

from services.cli.outdir.names import result_path, with_id

log = structlog.get_logger()

_FICLONE = 0x40049409
"""<linux/fs.h>: make one file share the blocks of another."""


@dataclass(frozen=True)
class Finished:
    """A picture that has its end under a recipe; `object_key` is None where nothing was drawn."""

    image_id: str
    source_uri: str
    object_key: str | None
    recipe: str = ""


class Roots:
    """The paths a run was given, and where below the results each one's pictures go."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._roots: list[tuple[bytes, bytes]] = []
        taken: set[bytes] = set()
        alone = len(paths) == 1
        for path in paths:
            whole = os.path.realpath(os.fsencode(path))  # as ingest names what it finds
            folder = b""
            if path.is_dir() and not alone:
                folder = os.fsencode(path.name) or _last(whole) or b"root"
                if folder in taken:
                    folder += b"-" + hashlib.sha256(whole).hexdigest()[:8].encode()
                taken.add(folder)
            self._roots.append((whole, folder))

    def known(self) -> list[tuple[bytes, bytes]]:
        """Each path, and the folder of its pictures."""
        return list(self._roots)

    def recall(self, known: Iterable[tuple[bytes, bytes]]) -> None:
        """Take over the paths of earlier runs; of two that fit the longer one counts."""
        self._roots = sorted(known, key=lambda root: len(root[0]), reverse=True)

    def relative(self, source_uri: str) -> bytes:
        """Path of a source below the results, before it is made safe."""
        path = unquote_to_bytes(source_uri.removeprefix("file://"))
        for root, folder in self._roots:
            if path == root:
                return _last(path)
            if path.startswith(root.rstrip(b"/") + b"/"):
                inside = path[len(root.rstrip(b"/")) + 1 :]
                return folder + b"/" + inside if folder else inside
        return _last(path)


class Layout:
    """The mirrored tree below `annotated`, of objects below `objects`; used by one run at a time.

    `record` is the file (SQLite) that remembers which source owns which name.
    """

    def __init__(self, annotated: Path, objects: Path, record: Path, roots: Roots) -> None:
        self.annotated = annotated
        self.objects = objects
        self.roots = roots
        self._made: set[Path] = set()
        self._own_recipe = False
        self._places = sqlite3.connect(record, check_same_thread=False, isolation_level=None)
        self._places.execute("PRAGMA journal_mode=WAL")
        self._places.execute("PRAGMA synchronous=NORMAL")
        self._places.execute(
            "CREATE TABLE IF NOT EXISTS places"
            "(source TEXT PRIMARY KEY, target TEXT UNIQUE NOT NULL, object TEXT NOT NULL)"
            " WITHOUT ROWID"
        )

        self._places.execute(
            "CREATE TABLE IF NOT EXISTS roots"
            "(path BLOB PRIMARY KEY, folder BLOB NOT NULL) WITHOUT ROWID"
        )

    def remember_roots(self) -> None:
        """Note this run's paths, for whoever does some of its pictures again."""
        self._places.executemany("INSERT OR REPLACE INTO roots VALUES (?, ?)", self.roots.known())

    def recall_roots(self, *, own_recipe: bool) -> None:
        """Name pictures as the earlier runs did that first found them.

        With `own_recipe` a result only replaces one of its own recipe, and not a newer one's.
        """
        self._own_recipe = own_recipe
        self.roots.recall(self._places.execute("SELECT path, folder FROM roots").fetchall())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._places.close()

    def place(self, pictures: Iterable[Finished]) -> int:
        """Give each picture's result its name; how many changed. Again costs a look-up each.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        changed = 0
        self._places.execute("BEGIN")
        try:
            for picture in pictures:
                changed += self._place(picture)
        finally:
            self._places.execute("COMMIT")
        return changed

    def _place(self, picture: Finished) -> bool:
        row = self._places.execute(
            "SELECT target, object FROM places WHERE source = ?", (picture.source_uri,)
        ).fetchone()
        target, key = row or (None, None)
        if self._own_recipe and key is not None and not key.startswith(f"{picture.recipe}/"):
            return False
        if picture.object_key is not None and not self._object(picture).exists():
            log.warning("an annotated picture is gone", file=str(self._object(picture)))
            return False
        if picture.object_key is None:
            return target is not None and self._remove(picture.source_uri, target)
        if target is not None:
            path = self.annotated / target
            if key == picture.object_key and path.exists():
                return False
            self._replace(picture, path)
            self._remember(picture, target)
            return True
        relative = result_path(self.roots.relative(picture.source_uri), picture.image_id)
        flat = PurePosixPath(relative.name)  # where a folder's name is taken by a file
        for candidate in (
            relative,
            with_id(relative, picture.image_id),
            with_id(flat, picture.image_id),
            with_id(flat, picture.image_id + picture.image_id[8:]),
        ):
            if self._link_new(picture, candidate):
                self._remember(picture, str(candidate))
                return True
        raise FileExistsError(f"{self.annotated / relative}: another file has this name")

    def _link_new(self, picture: Finished, name: PurePosixPath) -> bool:
        """Link under a name that nobody has; whether it was free."""
        target = self.annotated / name
        owned = self._places.execute("SELECT 1 FROM places WHERE target = ?", (str(name),))
        if owned.fetchone():
            return False
        try:
            self._make(target.parent)
            _link(self._object(picture), target)
        except FileExistsError:
            # A run that died between link and record left our own link behind.
            return target.is_file() and target.samefile(self._object(picture))
        except NotADirectoryError:
            return False
        return True

    def _replace(self, picture: Finished, target: Path) -> None:
        self._make(target.parent)
        beside = target.parent / f".{picture.image_id}.tmp"
        beside.unlink(missing_ok=True)
        _link(self._object(picture), beside)
        beside.replace(target)  # does nothing where both are one file already ...
        beside.unlink(missing_ok=True)  # ... and then leaves the first

    def _remove(self, source: str, target: str) -> bool:
        (self.annotated / target).unlink(missing_ok=True)
        self._places.execute("DELETE FROM places WHERE source = ?", (source,))
        return True

    def _remember(self, picture: Finished, target: str) -> None:
        self._places.execute(
            "INSERT OR REPLACE INTO places VALUES (?, ?, ?)",
            (picture.source_uri, target, picture.object_key),
        )

    def _object(self, picture: Finished) -> Path:
        assert picture.object_key is not None
        return self.objects / picture.object_key

    def _make(self, folder: Path) -> None:
        if folder not in self._made:
            folder.mkdir(parents=True, exist_ok=True)
            self._made.add(folder)


def _last(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]


def _link(source: Path, target: Path) -> None:
    """A hard link; else a copy that shares its blocks; else a copy, whole or not at all."""
    with suppress(OSError):
        target.hardlink_to(source)
        return
    if os.path.lexists(target):
        raise FileExistsError(target)
    beside = target.parent / f".{target.name[:200]}.part"
    try:
        with source.open("rb") as read, beside.open("wb") as write:
            try:
                fcntl.ioctl(write, _FICLONE, read.fileno())
            except OSError:
                shutil.copyfileobj(read, write, 1 << 20)
        beside.replace(target)
    finally:
        beside.unlink(missing_ok=True)
