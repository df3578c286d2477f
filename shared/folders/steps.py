"""One step: a folder, opened by its name in the one above it."""

import errno
import os
import stat
from contextlib import suppress
from pathlib import Path

MAKING_TRIES = 10
"""How often a folder is made that somebody else takes away at once."""

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC

PASS_BY = os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
"""How files are opened: a FIFO without waiting for who writes into it, a link not at all."""


class Linked(NotADirectoryError):
    """Something below a folder is a symbolic link, which is not followed."""

    def __init__(self, name: str) -> None:
        """`name` is the link's."""
        super().__init__(errno.ENOTDIR, f"{name!r} is a symbolic link, which is not followed")
        self.link = name


def open_folder(path: str | bytes | Path, *, at: int | None = None, follow: bool = False) -> int:
    """A descriptor of a folder; `path` is one name where `at`, an open folder, is what it is in.

    Raises:
        OSError: it is not there, is no folder, or may not be read. A link is no folder (ENOTDIR
            or ELOOP), unless it is to be followed.
    """
    return os.open(path, _FOLDER if follow else _FOLDER | os.O_NOFOLLOW, dir_fd=at)


def enter(above: int, name: bytes, told: str, *, make: bool, mode: int) -> int:
    """A descriptor of the folder `name` of an open one, made where it is missing if `make` is set.

    Raises:
        Linked: it is a link.
        OSError: as `open_folder`. Both call it by `told`.
    """
    for _ in range(MAKING_TRIES):
        try:
            return open_folder(name, at=above)
        except FileNotFoundError:
            if not make:
                raise
            with suppress(FileExistsError):  # somebody else made it just now
                os.mkdir(name, mode, dir_fd=above)
        except OSError as error:
            if error.errno in (errno.ELOOP, errno.ENOTDIR) and _is_link(above, name):
                raise Linked(told) from None
            raise OSError(error.errno, error.strerror, told) from None
    raise NotADirectoryError(errno.ENOTDIR, f"{told!r} is taken away again and again")


def _is_link(folder: int, name: bytes) -> bool:
    with suppress(OSError):
        return stat.S_ISLNK(os.stat(name, dir_fd=folder, follow_symlinks=False).st_mode)
    return False
