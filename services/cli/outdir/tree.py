"""`OUT/annotated/`: results under their pictures' own names, as a mirror of the input folders.

A result is a hard link to its object (a reflink or a copy where that is not possible). The record
says what lies where, so that placing is idempotent, a newer result replaces its older one, and two
different pictures never share a name.
"""

import fcntl
import os
import shutil
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path, PurePosixPath

import structlog

from services.cli.outdir.names import result_path, with_id
from services.cli.outdir.record import Place, Record
from services.cli.outdir.roots import Roots
from shared.catalog import Member
from shared.picture_keys import PictureKeys

log = structlog.get_logger()

_FICLONE = 0x40049409
"""<linux/fs.h>: make one file share the blocks of another."""


class Tree:
    """The mirrored tree in `annotated`, of objects in a folder `objects`; for one run at a time."""

    def __init__(self, annotated: Path, objects: Path, record: Record, roots: Roots) -> None:
        self.annotated = annotated
        self.objects = objects
        self.roots = roots
        self._record = record
        self._made: set[Path] = set()
        self._own_recipe = False

    def remember_roots(self) -> None:
        """Note this run's paths, for whoever does some of its pictures again."""
        self._record.keep_roots(self.roots.known())

    def recall_roots(self, *, own_recipe: bool) -> None:
        """Name pictures as the earlier runs did that first found them.

        With `own_recipe` a result only replaces one of its own recipe, and not a newer one's.
        """
        self._own_recipe = own_recipe
        self.roots.recall(self._record.roots())

    def place(self, members: Iterable[Member]) -> int:
        """Give the result of each ended picture its name; how many changed.

        One without an annotated picture loses the result that it had. Those without a source (sent
        along with their bytes) have no name here. Doing it again costs a look-up each.

        Raises:
            OSError: the disk is full or the folder cannot be written.
        """
        with self._record.one_commit():
            return sum(
                self._place(member, member.source_uri)
                for member in members
                if member.source_uri is not None
            )

    def _place(self, member: Member, source: str) -> bool:
        known = self._record.place(source)
        if self._own_recipe and known and not known.object.startswith(f"{member.recipe}/"):
            return False
        if member.annotated_uri is None:
            return known is not None and self._remove(known)
        key = PictureKeys(member.recipe, member.id).annotated
        drawn = self.objects / key
        if not drawn.exists():
            log.warning("an annotated picture is gone", image=member.id, object=key)
            return False
        if known is not None:
            path = self.annotated / known.target
            if known.object == key and path.exists():
                return False
            self._replace(drawn, path, member.id)
            self._record.keep(Place(source, known.target, key))
            return True
        self._record.keep(Place(source, self._link_new(drawn, source, member.id), key))
        return True

    def _link_new(self, drawn: Path, source: str, image_id: str) -> str:
        """Link under the first fitting name that nobody has; that name."""
        relative = result_path(self.roots.relative(source), image_id)
        flat = PurePosixPath(relative.name)  # where a folder's name is taken by a file
        for candidate in (
            relative,
            with_id(relative, image_id),
            with_id(flat, image_id),
            with_id(flat, image_id + image_id[8:]),
        ):
            if self._linked(drawn, candidate):
                return str(candidate)
        raise FileExistsError(f"{self.annotated / relative}: another file has this name")

    def _linked(self, drawn: Path, name: PurePosixPath) -> bool:
        """Link under a name; False where somebody has it."""
        if self._record.is_taken(str(name)):
            return False
        target = self.annotated / name
        try:
            self._make(target.parent)
            _link(drawn, target)
        except FileExistsError:
            # A run that died between link and record left our own link behind.
            return target.is_file() and target.samefile(drawn)
        except NotADirectoryError:
            return False
        return True

    def _replace(self, drawn: Path, target: Path, image_id: str) -> None:
        self._make(target.parent)
        beside = target.parent / f".{image_id}.tmp"
        beside.unlink(missing_ok=True)
        _link(drawn, beside)
        beside.replace(target)  # does nothing where both are one file already ...
        beside.unlink(missing_ok=True)  # ... and then leaves the first

    def _remove(self, place: Place) -> bool:
        (self.annotated / place.target).unlink(missing_ok=True)
        self._record.drop(place.source)
        return True

    def _make(self, folder: Path) -> None:
        if folder not in self._made:
            folder.mkdir(parents=True, exist_ok=True)
            self._made.add(folder)


def forget_result(annotated: Path, record: Record, object_key: str) -> int:
    """Delete from the tree and the record what was made of an object; how many files.

    Its sidecars go too, whoever changed them since: they say who is in a forgotten picture.
    """
    removed = 0
    for place in record.places_of(object_key):
        sidecars = record.sidecars_of(place.target)
        for name in (place.target, *sidecars):
            path = annotated / name
            removed += os.path.lexists(path)
            path.unlink(missing_ok=True)
        for name in sidecars:
            record.drop_sidecar(name)
        record.drop(place.source)
        _drop_empty(annotated, annotated / place.target)
    return removed


def _drop_empty(annotated: Path, path: Path) -> None:
    """Folders' names are of the forgotten too: empty ones go, up to the tree itself."""
    for folder in path.parents:
        if folder == annotated or not folder.is_relative_to(annotated):
            return
        try:
            folder.rmdir()
        except OSError:
            return  # something else is in it


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
