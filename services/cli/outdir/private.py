"""What of OUT is nobody else's: `.faces`, `faces.db` and `objects`, and that it really is ours.

OUT may be a folder that others write into as well. They can put there what we would take for our
own, so: no link below OUT is followed, what we trust belongs to us, and others may not change it.
"""

import os
import pwd
import stat
from collections.abc import Callable
from contextlib import suppress
from functools import cached_property
from pathlib import Path

from shared.errors import FacesError
from shared.folders.folder import Folder
from shared.folders.new_files import unfinished

PRIVATE = ".faces"
CATALOG = "faces.db"
CATALOG_FILES = (CATALOG, f"{CATALOG}-wal", f"{CATALOG}-shm")
OBJECTS = "objects"
ANNOTATED = "annotated"

ONLY_OURS = 0o700
ONLY_OUR_FILE = 0o600
OTHERS = 0o077
OTHERS_WRITE = 0o022

Say = Callable[[str], None]


def open_out(out: Path, say: Say) -> Folder:
    """Make OUT and its private folder where they are missing, and see that they are ours.

    Folders and files of earlier versions, which others could read, become ours alone, and `say` is
    told so.

    Raises:
        FacesError: something in OUT is a link or another's.
        OSError: OUT cannot be written.
    """
    with Folder.open(out, make=True) as folder:
        disk = _Disk(folder)
        for name in (PRIVATE, OBJECTS, ANNOTATED):
            _refuse_link(folder.status(name), out / name)
        for name in CATALOG_FILES:
            disk.refuse_strangers(folder.status(name), out / name)
        private = make_private(folder, PRIVATE, out / PRIVATE, say)
        narrowed = [_narrow(folder, OBJECTS, ONLY_OURS)]
        narrowed += [_narrow(folder, name, ONLY_OUR_FILE) for name in CATALOG_FILES]
        if any(narrowed):
            say(f"others could read {CATALOG} or {OBJECTS} in {out}; now only you can")
        return private


def make_private(above: Folder, name: str, path: Path, say: Say) -> Folder:
    """The folder `name` of the one above it (`path` names it to people), made where it is missing:
    it and all that is in it are ours, and nobody else reads it or writes into it.

    Raises:
        FacesError: it, or something in it, is a link or another's.
        OSError: it cannot be made.
    """
    disk = _Disk(above)
    is_new = above.status(name) is None
    folder = above.below(name, make=True, mode=ONLY_OURS)
    try:
        status = os.fstat(folder.fileno())
        disk.refuse_strangers(status, path)
        if status.st_mode & OTHERS:
            with suppress(OSError):  # a disk without modes
                os.fchmod(folder.fileno(), ONLY_OURS)  # first: from now on nobody adds anything
            if not os.fstat(folder.fileno()).st_mode & OTHERS:
                say(f"others could read {path}; now only you can")
            elif disk.has_modes:
                raise FacesError(f"{path} can be read by others, and that cannot be changed")
            elif is_new:
                say(f"{path}: this disk keeps no modes, so whoever reads it reads this folder too")
        _inspect(folder, path, disk, was_open=bool(status.st_mode & OTHERS_WRITE))
    except BaseException:  # whatever it is, it is raised again
        folder.close()
        raise
    return folder


def check_private(out: Path) -> bool:
    """Whether OUT has a private folder of ours; before anything in it is believed.

    Raises:
        FacesError: it is a link, or another's.
    """
    try:
        with Folder.open(out) as folder:
            status = folder.status(PRIVATE)
            _Disk(folder).refuse_strangers(status, out / PRIVATE)
            return status is not None
    except FileNotFoundError:
        return False
    except OSError as error:
        raise FacesError(f"{out} cannot be read: {error.strerror or error}") from None


def check_catalog(out: Path) -> Path:
    """The file of OUT's catalog, which is there, and ours.

    Raises:
        FacesError: it is not, or the disk cannot be written, which SQLite needs to read, too.
    """
    file = out / CATALOG
    try:
        with Folder.open(out) as folder:
            status = folder.status(CATALOG)
            _Disk(folder).refuse_strangers(status, file)
    except FileNotFoundError:
        status = None
    except OSError as error:
        raise FacesError(f"{out} cannot be read: {error.strerror or error}") from None
    if status is None or not stat.S_ISREG(status.st_mode):
        raise FacesError(f"there is no catalog in {out}: {file} is missing")
    if not all(os.access(path, os.R_OK | os.W_OK) for path in (out, file)):
        raise FacesError(
            f"{file} cannot be written, which is needed to read it, too: copy {out} to where it can"
        )
    return file


def make_objects(out: Path) -> None:
    """Make OUT's folder of objects so that only we can read it. The files in it follow the umask:
    those in OUT/annotated are the same files, and people share them.

    Raises:
        FacesError: it cannot be made, or a recipe's folder in it is a link.
    """
    try:
        with (
            Folder.open(out) as folder,
            folder.below(OBJECTS, make=True, mode=ONLY_OURS) as objects,
        ):
            for name in os.listdir(objects.fileno()):  # noqa: PTH208 - by its descriptor
                _refuse_link(objects.status(name), out / OBJECTS / name)
    except OSError as error:
        raise FacesError(f"cannot make {out / OBJECTS}: {error.strerror or error}") from None


_NO_FILES = (stat.S_ISFIFO, stat.S_ISCHR, stat.S_ISBLK)
"""What may keep whoever opens it waiting for ever; in a copied folder it would be ours."""


class _Disk:
    """Whether a disk keeps owners and modes. FAT and some network drives do not: there all belongs
    to one user, and has one mode. What we make ourselves shows it, and is made only if in doubt."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    @cached_property
    def _made(self) -> os.stat_result | None:
        """How a folder looks that only we may read; None where we can make none."""
        name = unfinished()
        try:
            os.mkdir(name, ONLY_OURS, dir_fd=self._folder.fileno())
        except OSError:
            return None
        try:
            return self._folder.status(name)
        finally:
            self._folder.remove_empty(name)

    @property
    def has_modes(self) -> bool:
        """Whether what is ours alone looks like it."""
        return self._made is None or not self._made.st_mode & OTHERS

    def refuse_strangers(self, status: os.stat_result | None, path: Path) -> None:
        """See that what is at a path is not another's, and no link. It may be absent.

        Raises:
            FacesError: with what to do.
        """
        _refuse_link(status, path)
        if status is None or status.st_uid == os.geteuid():
            return
        if self._made is None or self._made.st_uid != status.st_uid:
            raise FacesError(
                f"{path} belongs to {_name_of(status.st_uid)}: an output folder has one user; "
                "work as that one, or choose another with -o"
            )


def _refuse_link(status: os.stat_result | None, path: Path) -> None:
    if status is not None and stat.S_ISLNK(status.st_mode):
        raise FacesError(
            f"{path} is a symbolic link, and links in an output folder are not followed: "
            "remove it, or choose another folder with -o"
        )


def _inspect(folder: Folder, path: Path, disk: _Disk, *, was_open: bool) -> None:
    """See that all in a private folder is ours, and make it ours alone.

    `was_open`: others may have put things into it, such as a second name of a file of ours.
    """
    for above, folders, files, descriptor in os.fwalk(".", dir_fd=folder.fileno()):
        for name in (*folders, *files):
            try:
                status = os.stat(name, dir_fd=descriptor, follow_symlinks=False)
            except FileNotFoundError:
                continue  # of a run that goes on meanwhile
            shown = path / above / name
            disk.refuse_strangers(status, shown)
            if any(kind(status.st_mode) for kind in _NO_FILES):
                raise FacesError(f"{shown} is a pipe or a device: remove it")
            if was_open and stat.S_ISREG(status.st_mode) and status.st_nlink > 1:
                raise FacesError(f"{shown} has another name elsewhere, maybe by another: remove it")
            if status.st_mode & OTHERS:
                with suppress(OSError):  # a disk without modes
                    os.chmod(
                        name, ONLY_OURS if name in folders else ONLY_OUR_FILE, dir_fd=descriptor
                    )


def _narrow(folder: Folder, name: str, mode: int) -> bool:
    """Make a file or folder of ours unreadable for others; whether it was readable."""
    status = folder.status(name)
    if status is None or not status.st_mode & OTHERS or status.st_uid != os.geteuid():
        return False
    only = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
    with suppress(OSError):  # a disk without modes, or it was exchanged just now
        descriptor = os.open(name, only, dir_fd=folder.fileno())
        try:
            os.fchmod(descriptor, mode)
            return not os.fstat(descriptor).st_mode & OTHERS
        finally:
            os.close(descriptor)
    return False


def _name_of(user: int) -> str:
    with suppress(KeyError):
        return pwd.getpwuid(user).pw_name
    return f"user {user}"
