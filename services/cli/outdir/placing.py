"""Giving a file that is there already a second name in a folder."""

import fcntl
import os
import shutil

from shared.folders.folder import Folder
from shared.folders.new_files import new_file, rename_new, unfinished, unlink_quietly

_FICLONE = 0x40049409
"""<linux/fs.h>: make one file share the blocks of another."""

COPIED_AT_ONCE = 1 << 20


def place(source: Folder, source_name: str, folder: Folder, name: str, *, replace: bool) -> None:
    """Give a file this name in `folder`: by a hard link, else by a copy that shares its blocks,
    else by a copy.

    Raises:
        FileExistsError: the name is taken, and not to be replaced.
        OSError: as the methods of `Folder`.
    """
    with (
        os.fdopen(source.open_file(source_name), "rb") as content,
        source.at(source_name) as (from_, first),
        folder.at(name, make=True) as (into, last),
    ):
        opened = content.fileno()
        if not replace and _link(from_, first, into, last, opened):
            return
        beside = unfinished()
        try:
            if not replace:
                _copy(opened, into, beside)
                rename_new(into, beside, last)
                return
            if not _link(from_, first, into, beside, opened):
                _copy(opened, into, beside)
            os.rename(beside, last, src_dir_fd=into, dst_dir_fd=into)
        finally:
            unlink_quietly(into, beside)  # also where both names were of one file already


def _link(from_: int, first: bytes, into: int, name: str | bytes, opened: int) -> bool:
    """Link to the very file that was opened; False where that cannot be done.

    Raises:
        FileExistsError: the name is taken.
    """
    try:
        os.link(first, name, src_dir_fd=from_, dst_dir_fd=into, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        return False
    if os.path.samestat(os.stat(name, dir_fd=into, follow_symlinks=False), os.fstat(opened)):
        return True
    os.unlink(name, dir_fd=into)  # another was put in its place since it was opened
    return False


def _copy(opened: int, into: int, name: str) -> None:
    """Copy an open file into a new one."""
    target = new_file(into, name, 0o666)
    with os.fdopen(target, "wb") as write, os.fdopen(os.dup(opened), "rb") as read:
        try:
            fcntl.ioctl(write, _FICLONE, read.fileno())
        except OSError:
            shutil.copyfileobj(read, write, COPIED_AT_ONCE)
