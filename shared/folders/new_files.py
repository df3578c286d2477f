"""New files in an open folder: begun only where nothing has their name, whoever foresaw it."""

import errno
import os
from contextlib import suppress
from pathlib import Path

from shared.folders.steps import PASS_BY

UNFINISHED = ".#"
"""How names of files begin that are being written; a killed process may leave one."""

_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL


def unfinished() -> str:
    """A name that nobody can foretell, for a file until it is whole."""
    return f"{UNFINISHED}{os.urandom(8).hex()}"


def new_file(folder: int, name: str | bytes, mode: int) -> int:
    """A descriptor to write a file by, where nothing has its name yet.

    Raises:
        FileExistsError: something has, if only a link that leads nowhere.
        OSError: as the system says it.
    """
    return os.open(name, _NEW | PASS_BY, mode, dir_fd=folder)


def rename_new(folder: int, name: str, new: str | bytes) -> None:
    """Give a file a name that nothing has; it may keep the other. Where there are no links, it is
    only looked for.

    Raises:
        FileExistsError: something has it.
        OSError: as the system says it.
    """
    try:
        os.link(name, new, src_dir_fd=folder, dst_dir_fd=folder, follow_symlinks=False)
    except FileExistsError:
        raise
    except OSError:
        with suppress(FileNotFoundError):
            os.stat(new, dir_fd=folder, follow_symlinks=False)
            raise FileExistsError(errno.EEXIST, os.strerror(errno.EEXIST), new) from None
        os.rename(name, new, src_dir_fd=folder, dst_dir_fd=folder)


def write_new(folder: int, name: str, content: bytes, mode: int, *, on_disk: bool) -> None:
    """Write a new file; with `on_disk` it is there after a crash of the machine, too.

    Raises:
        OSError: as `new_file`, or the disk is full. What is written by then stays.
    """
    descriptor = new_file(folder, name, mode)
    try:
        left = memoryview(content)
        while left:
            left = left[os.write(descriptor, left) :]
        if on_disk:
            os.fsync(descriptor)
    finally:
        os.close(descriptor)


def unlink_quietly(folder: int, name: str) -> None:
    """Delete what can be deleted, on a way out."""
    with suppress(OSError):
        os.unlink(name, dir_fd=folder)


def make_private_file(path: Path) -> None:
    """Make a database's file where it is missing, so that only we can read it. SQLite gives the
    files beside it the same mode, and says best itself what goes wrong."""
    with suppress(OSError):
        os.close(os.open(path, _NEW | os.O_CLOEXEC, 0o600))
