"""Folders as open descriptors: whoever exchanges a folder for a link leads nobody elsewhere.

A path is looked up anew by every call that it is given to. What is opened once stays the folder
that it was; what lies in it is opened by its name alone, and a link is never followed on the way.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress

FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC
NO_LINK = FOLDER | os.O_NOFOLLOW

_PATH_ONLY = getattr(os, "O_PATH", None)
"""Linux: a handle by which nothing is read, and no FIFO or device ever notices."""


@contextmanager
def opened(path: bytes, *, at: int | None = None, follow: bool = False) -> Iterator[int]:
    """A folder; `path` is one name where `at`, an open folder, says what it is a name in.

    Raises:
        OSError: it is not there, is no folder, or may not be read. A link is no folder, unless
            it is to be followed.
    """
    descriptor = os.open(path, FOLDER if follow else NO_LINK, dir_fd=at)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def open_below(top: int, folder: bytes, *, make: bool = False) -> int:
    """A new descriptor of a folder below an open one; '' is that one itself.

    Each name on the way is opened in the folder before it. With `make`, what is missing is made.

    Raises:
        OSError: as `opened`; also where a name on the way is a link, or `..`.
    """
    descriptor = os.dup(top)
    for name in folder.split(b"/"):
        if name in (b"", b"."):
            continue
        try:
            if name == b"..":
                raise NotADirectoryError(20, "a path that climbs names no folder below")
            below = _open_made(descriptor, name) if make else _open(descriptor, name)
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def _open(at: int, name: bytes) -> int:
    return os.open(name, NO_LINK, dir_fd=at)


def _open_made(at: int, name: bytes) -> int:
    with suppress(FileExistsError):
        os.mkdir(name, dir_fd=at)
    return _open(at, name)


def real_path(descriptor: int) -> bytes:
    """Where an open descriptor really is, links resolved.

    Raises:
        OSError: the system does not say.
    """
    if os.path.isdir("/proc/self/fd"):  # noqa: PTH112 - bytes below, as all paths here
        return os.readlink(b"/proc/self/fd/%d" % descriptor)  # noqa: PTH115
    import fcntl  # noqa: PLC0415 - macOS: there F_GETPATH says it

    return fcntl.fcntl(descriptor, getattr(fcntl, "F_GETPATH"), bytes(1024)).rstrip(b"\0")  # noqa: B009


def led_to(name: bytes, at: int | None = None, folder: bytes = b"") -> tuple[bytes, os.stat_result]:
    """Where a path really leads, with what is there; or a name in the open folder `at`, whose path
    is `folder`.

    What it is and where are told of one and the same thing, so far as the system can (Linux).

    Raises:
        OSError: it leads nowhere.
    """
    if _PATH_ONLY is None:  # whoever opens it judges it once more
        path = os.path.realpath(os.path.join(folder, name), strict=True)  # noqa: PTH118 - bytes
        return path, os.stat(path)  # noqa: PTH116 - a path of bytes
    handle = os.open(name, _PATH_ONLY | os.O_CLOEXEC, dir_fd=at)
    try:
        return real_path(handle), os.fstat(handle)
    finally:
        os.close(handle)


def lies_below(path: bytes, folder: bytes) -> bool:
    """Whether a path is a folder itself, or lies below it; both without links and `..`."""
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")
