"""Files below a folder that others may write into: made, read, replaced and deleted safely.

Nothing below a `Folder` is named by its whole path: each folder on the way is opened from the one
above it, and one that is a link is refused. New files begin under names that cannot be foretold,
and only where nothing has that name. The folder itself may be a link: whoever named it said so.

Names are UTF-8 on the disk, whatever the locale is; bytes that are none are as `os.fsdecode` has
them.
"""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Self

from shared.folders.new_files import unfinished, unlink_quietly, write_new
from shared.folders.steps import PASS_BY, Linked, enter, open_folder

NOTHING_THERE = frozenset(
    (errno.ENOENT, errno.ENOTDIR, errno.EINVAL, errno.ENAMETOOLONG, errno.EILSEQ)
)
"""What systems say of a name that nothing has, or that their disk cannot have."""


class Folder:
    """An open folder. Names are relative to it; a part may hold anything but `/` and NUL.

    Raises, in all its methods:
        Linked: a part of the name is a symbolic link.
        OSError: as the system says it.
        ValueError: not a name below a folder, such as one with `..`.
    """

    def __init__(self, descriptor: int) -> None:
        """It closes `descriptor`."""
        self._descriptor = descriptor

    @classmethod
    def open(cls, path: Path, *, make: bool = False, link: bool = True) -> Self:
        """The folder at a path; `make` it and those above it where missing.

        With `link` it may itself be a link. Those above it always may.
        """
        if make:
            path.mkdir(parents=True, exist_ok=True)
        try:
            return cls(open_folder(path, follow=link))
        except NotADirectoryError:
            if path.is_symlink() and not link:
                raise Linked(path.name) from None
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Let go of it."""
        os.close(self._descriptor)

    def fileno(self) -> int:
        """Its descriptor."""
        return self._descriptor

    def below(self, name: str, *, make: bool = False, mode: int = 0o777) -> "Folder":
        """The folder of this name, '' for this one; `make` it where it is missing."""
        if not name:
            return Folder(os.dup(self._descriptor))
        here = self._descriptor
        parts = _parts(name)
        for n, part in enumerate(parts, 1):
            try:
                told = "/".join(name.split("/")[:n])
                within = enter(here, part, told, make=make, mode=mode)
            finally:
                if here != self._descriptor:
                    os.close(here)
            here = within
        return Folder(here)

    @contextmanager
    def at(self, name: str, *, make: bool = False) -> Iterator[tuple[int, bytes]]:
        """The descriptor of the folder that a file is in, and the last part of its name."""
        way, _, name = name.rpartition("/")
        (last,) = _parts(name)
        if not way:
            yield self._descriptor, last
            return
        with self.below(way, make=make) as folder:
            yield folder._descriptor, last

    def write(self, name: str, content: bytes, *, mode: int = 0o666, on_disk: bool = False) -> None:
        """Write a file, and the folders on its way; it is there whole, or as it was before.

        What had this name is replaced, also a link (and not what it leads to). `mode` is narrowed
        by the umask. With `on_disk` it is there after a crash of the machine, too.
        """
        with self.at(name, make=True) as (folder, last):
            beside = unfinished()
            try:
                write_new(folder, beside, content, mode, on_disk=on_disk)
                os.rename(beside, last, src_dir_fd=folder, dst_dir_fd=folder)
            except BaseException:  # whatever it is, it is raised again
                unlink_quietly(folder, beside)
                raise

    def open_file(self, name: str) -> int:
        """A descriptor to read a file by. What is no regular file is refused."""
        with self.at(name) as (folder, last):
            try:
                descriptor = os.open(last, os.O_RDONLY | PASS_BY, dir_fd=folder)
            except OSError as error:
                if error.errno == errno.ELOOP:
                    raise Linked(name) from None
                raise
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            os.close(descriptor)
            raise OSError(errno.EINVAL, "it is no regular file", name)
        return descriptor

    def read(self, name: str) -> bytes:
        """A file's content."""
        with os.fdopen(self.open_file(name), "rb") as file:
            return file.read()

    def status(self, name: str) -> os.stat_result | None:
        """Of what has this name, itself and not what it leads to; None where nothing has, also
        since the disk has no such names."""
        try:
            with self.at(name) as (folder, last):
                return os.stat(last, dir_fd=folder, follow_symlinks=False)
        except Linked:
            raise
        except OSError as error:
            if error.errno in NOTHING_THERE:
                return None
            raise

    def is_file(self, name: str) -> bool:
        """Whether a regular file has this name; never behind a link."""
        try:
            found = self.status(name)
        except Linked:
            return False
        return found is not None and stat.S_ISREG(found.st_mode)

    def unlink(self, name: str) -> bool:
        """Delete a file, or a link itself; whether there was one."""
        try:
            with self.at(name) as (folder, last):
                os.unlink(last, dir_fd=folder)
        except Linked:
            raise
        except OSError as error:
            if error.errno in NOTHING_THERE:
                return False
            raise
        return True

    def remove_empty(self, name: str) -> bool:
        """Delete a folder that is empty; whether it was."""
        with suppress(OSError), self.at(name) as (folder, last):
            os.rmdir(last, dir_fd=folder)
            return True
        return False

    def files(self, name: str = "") -> Iterator[tuple[str, os.stat_result]]:
        """The regular files below a folder, by their names relative to this one. No link is
        followed, and what is deleted meanwhile is passed over; nothing where there is no folder."""
        try:
            start = self.below(name)
        except Linked:
            raise
        except (FileNotFoundError, NotADirectoryError):
            return
        with start:
            for path, _, names, descriptor in os.fwalk(
                ".", dir_fd=start._descriptor, onerror=_unless_gone
            ):
                above = "/".join(part for part in (name, path[2:]) if part)
                for one in names:
                    with suppress(FileNotFoundError):
                        found = os.stat(one, dir_fd=descriptor, follow_symlinks=False)
                        if stat.S_ISREG(found.st_mode):
                            yield f"{above}/{one}" if above else one, found


def _parts(name: str) -> list[bytes]:
    parts = name.split("/")
    if any(part in ("", ".", "..") or "\0" in part for part in parts):
        raise ValueError(f"not a name below a folder: {name[:200]!r}")
    return [part.encode("utf-8", "surrogateescape") for part in parts]


def _unless_gone(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise error
