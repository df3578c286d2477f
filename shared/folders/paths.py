"""Where a path really leads, with the links on its way resolved."""

import os

_PATH_ONLY = getattr(os, "O_PATH", None)
"""Linux: a handle by which nothing is read, and no FIFO or device ever notices."""


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


def path_limit() -> int:
    """Bytes of a whole path, with the zero that ends it, that programs can open."""
    try:
        return os.pathconf("/", "PC_PATH_MAX")
    except (OSError, ValueError):
        return 1024  # macOS, the least of those that matter
