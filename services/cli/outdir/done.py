"""`--done-dir`: originals that are done are moved, and only those that this run was given.

Who may write into Redis may have rows made of any name. So a name counts for little: the file has
to lie below a path that was given, and is gone to from there, folder by folder, without a link on
the way. Where it goes to is gone to in the same way.
"""

import errno
import os
import shutil
import stat
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

import structlog

from services.cli.outdir.names import with_id
from services.cli.outdir.placing import COPIED_AT_ONCE
from services.cli.outdir.roots import Roots
from shared.folders.folder import Folder
from shared.folders.new_files import new_file, rename_new, unfinished, unlink_quietly
from shared.folders.paths import real_path
from shared.folders.steps import PASS_BY
from shared.identity import display_name, file_version, reference_id
from shared.printing import count
from shared.urls import file_path

NOT_GIVEN = "they do not lie below what this run was given"
BY_LINK = "a link leads to them"
CHANGED = "they changed since they were searched"
TAKEN = "their place is taken"

SHOWN = 3
"""How many of those that were not moved are named, of each reason."""

_NO_LINK = {errno.ELOOP, errno.ENOTDIR}

log = structlog.get_logger()


class _NotMoved(Exception):
    """Why one stays where it is."""


class DoneDir:
    """Moves originals below `folder`, each under its relative path; nothing is ever overwritten."""

    def __init__(self, folder: Path, roots: Roots) -> None:
        self._folder = folder
        self._roots = roots
        self._not_moved: Counter[str] = Counter()
        self._names: dict[str, list[str]] = {}

    @property
    def not_moved(self) -> list[str]:
        """A line for people on each reason for which originals stayed where they are."""
        return [
            f"{count(number, 'original')} not moved to {self._folder}, since {reason}: "
            f"{', '.join(self._names[reason])}" + ", ..." * (number > SHOWN)
            for reason, number in self._not_moved.items()
        ]

    def move(self, source_uri: str, image_id: str) -> bool:
        """Move one, as it was searched; whether it was moved.

        Raises:
            OSError: the disk is full, or a folder cannot be written.
        """
        try:
            self._move(source_uri, image_id)
        except FileNotFoundError:
            return False  # moved by an earlier run, or gone
        except _NotMoved as stays:
            reason = str(stays)
            log.warning("original not moved", image=image_id, reason=reason)
            self._not_moved[reason] += 1
            names = self._names.setdefault(reason, [])
            if len(names) < SHOWN:
                names.append(display_name(os.fsencode(source_uri.removeprefix("file://"))))
            return False
        return True

    def _move(self, source_uri: str, image_id: str) -> None:
        root, inside = self._given(source_uri)
        way, _, name = inside.rpartition(b"/")
        with _no_link_on_the_way(), Folder.open(Path(os.fsdecode(root)), link=False) as top:
            if real_path(top.fileno()) != root:
                raise _NotMoved(BY_LINK)
            folder = top.below(os.fsdecode(way))
        with folder:
            status = os.stat(name, dir_fd=folder.fileno(), follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                raise _NotMoved(BY_LINK)
            version = file_version(status.st_size, status.st_mtime_ns)
            if reference_id(source_uri, version) != image_id:
                raise _NotMoved(CHANGED)
            self._place(name, folder, self._roots.relative(source_uri), image_id)

    def _given(self, source_uri: str) -> tuple[bytes, bytes]:
        """The folder that was given, or holds the file that was, and the path below that."""
        try:
            path = file_path(source_uri)
        except ValueError:
            raise _NotMoved(NOT_GIVEN) from None
        for root, _ in self._roots.known():
            if path == root:
                folder, _, name = path.rpartition(b"/")
                return folder or b"/", name
            top = root.rstrip(b"/") + b"/"
            names = path[len(top) :].split(b"/")
            if path.startswith(top) and not {b"", b".", b".."} & {*names}:
                return root, path[len(top) :]
        raise _NotMoved(NOT_GIVEN)

    def _place(self, name: bytes, folder: Folder, relative: bytes, image_id: str) -> None:
        way, _, last = relative.rpartition(b"/")
        beside = os.fsencode(with_id(PurePosixPath(os.fsdecode(last)), image_id))
        with Folder.open(self._folder, make=True) as top, _no_link_on_the_way(TAKEN):
            target = top.below(os.fsdecode(way), make=True)
        with target:
            at, into = folder.fileno(), target.fileno()
            if not any(_moved(name, at, free, into) for free in (last, beside)):
                raise _NotMoved(TAKEN)


@contextmanager
def _no_link_on_the_way(reason: str = BY_LINK) -> Iterator[None]:
    """A folder that is a link, or none by now, keeps an original where it is."""
    try:
        yield
    except OSError as error:
        if error.errno in _NO_LINK:
            raise _NotMoved(reason) from None
        raise
    except ValueError:  # a path that climbs names no folder below
        raise _NotMoved(reason) from None


def _moved(name: bytes, at: int, free: bytes, target: int) -> bool:
    """Move a file from one open folder to another, under a name that nobody has there. Whatever
    ends this half way leaves the original where it is, or both names of it."""
    try:
        os.link(name, free, src_dir_fd=at, dst_dir_fd=target, follow_symlinks=False)
    except FileExistsError:
        if not _is_same(name, at, free, target):  # else it was ended half way
            return False
    except OSError:  # another volume, or one without links
        if not _copied(name, at, free, target):
            return False
    os.unlink(name, dir_fd=at)
    return True


def _is_same(name: bytes, at: int, free: bytes, target: int) -> bool:
    """Whether both are names of one file. One name alone, where an original would be moved onto
    itself, is none."""
    if name == free and os.path.samestat(os.fstat(at), os.fstat(target)):
        return False
    one = os.stat(name, dir_fd=at, follow_symlinks=False)
    return os.path.samestat(one, os.stat(free, dir_fd=target, follow_symlinks=False))


def _copied(name: bytes, at: int, free: bytes, target: int) -> bool:
    """With its times and rights; it is on the disk before it has its name."""
    beside = unfinished()
    source = os.open(name, os.O_RDONLY | PASS_BY, dir_fd=at)
    try:
        begun = new_file(target, beside, 0o600)  # until its rights are set
        with os.fdopen(source, "rb") as read, os.fdopen(begun, "wb") as written:
            shutil.copyfileobj(read, written, COPIED_AT_ONCE)
            written.flush()
            status = os.fstat(source)
            os.fchmod(written.fileno(), stat.S_IMODE(status.st_mode))
            os.utime(written.fileno(), ns=(status.st_atime_ns, status.st_mtime_ns))
            os.fsync(written.fileno())
        rename_new(target, beside, free)
        os.fsync(target)
    except FileExistsError:
        return False
    finally:
        unlink_quietly(target, beside)
    return True
