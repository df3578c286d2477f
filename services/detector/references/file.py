"""Opening a file below an allowed folder."""

import errno
import os
import stat
from collections.abc import Sequence

from services.detector.failures import PictureFailed, Refused, TryAgain
from services.detector.references.opener import Rules, changed, too_large
from shared.identity import display_name, file_version
from shared.reasons import Reason
from shared.references import FILES, is_allowed
from shared.urls import file_path, file_uri

GONE = {errno.ENOENT, errno.ENOTDIR}
NEVER = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ELOOP: "its symbolic links go in a circle",
    errno.ENAMETOOLONG: "its name is too long",
}


def open_file(uri: str, version: str, rules: Rules) -> bytes:
    """The bytes of a file below an allowed root; see `Opener`.

    The path is opened first and judged afterwards, by where it really led: a link that is changed
    between a check and an opening gains nothing. Only a regular file is opened for reading.
    """
    path, roots = _path_of(uri), rules.allow_list(FILES)
    try:
        descriptor = _open_regular(path, roots)
        try:
            return _read(descriptor, version, rules)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _explained(error, path, roots) from None


def peek(uri: str, roots: Sequence[str]) -> None:
    """See that a file can be read, by its first byte.

    Raises:
        OSError: it cannot.
        Refused: it is not a file below one of these roots.
    """
    descriptor = _open_regular(_path_of(uri), roots)
    try:
        os.read(descriptor, 1)
    finally:
        os.close(descriptor)


def _path_of(uri: str) -> bytes:
    try:
        return file_path(uri)
    except ValueError:
        raise Refused(
            Reason.NOT_A_FILE, "its reference is not the absolute path of a file"
        ) from None


def _open_regular(path: bytes, roots: Sequence[str]) -> int:
    """A descriptor to read from. With Linux' O_PATH nothing but a file is ever really opened, so
    a FIFO or a device neither hangs nor notices; elsewhere O_NONBLOCK keeps it from hanging."""
    safely = os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    path_only = getattr(os, "O_PATH", None)
    handle = os.open(path, path_only | os.O_CLOEXEC if path_only else os.O_RDONLY | safely)
    try:
        if not _below(_real_path(handle), roots):
            raise _outside(roots)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Refused(Reason.NOT_A_FILE, "it is not a file (a folder, a device or a pipe)")
        if path_only is None:
            return os.dup(handle)
        return os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | safely)
    finally:
        os.close(handle)


def _real_path(descriptor: int) -> bytes:
    """Where an open descriptor really is, links resolved."""
    if os.path.isdir("/proc/self/fd"):  # noqa: PTH112 - bytes below, as all paths here
        return os.readlink(b"/proc/self/fd/%d" % descriptor)  # noqa: PTH115
    import fcntl  # noqa: PLC0415 - macOS: there F_GETPATH says it

    return fcntl.fcntl(descriptor, getattr(fcntl, "F_GETPATH"), bytes(1024)).rstrip(b"\0")  # noqa: B009


def _below(path: bytes, roots: Sequence[str]) -> bool:
    return is_allowed(file_uri(path), roots)


def _outside(roots: Sequence[str]) -> Refused:
    sentence = (
        f"it is outside of the folders that {FILES.setting} allows"
        if roots
        else f"no folder may be read by reference here: set {FILES.setting}"
    )
    return Refused(Reason.NOT_ALLOWED, sentence)


def _read(descriptor: int, version: str, rules: Rules) -> bytes:
    """The whole file, if it is this version before and after."""
    before = os.fstat(descriptor)
    if version and file_version(before.st_size, before.st_mtime_ns) != version:
        raise changed()
    if before.st_size > rules.max_bytes:
        raise too_large(before.st_size, rules.max_bytes)
    with open(descriptor, "rb", buffering=0, closefd=False) as file:
        content = bytearray(before.st_size + 1)  # one more, to see a file that grows
        view, filled = memoryview(content), 0
        while filled < len(view) and (count := file.readinto(view[filled:])):
            filled += count
    after = os.fstat(descriptor)
    if filled != before.st_size or after.st_mtime_ns != before.st_mtime_ns:
        raise changed()
    return bytes(view[:filled])


def _explained(error: OSError, path: bytes, roots: Sequence[str]) -> PictureFailed:
    """What an error of the operating system means for this picture, if its folder is there."""
    name, real = display_name(path), os.path.realpath(path)
    below = next((root for root in roots if _below(real, [root])), "")
    if error.errno in GONE | NEVER.keys() and not below:
        return _outside(roots)  # do not tell whether something is there
    if error.errno in GONE:
        return Refused(Reason.GONE, f"the file {name} is gone", below)
    if error.errno in NEVER:
        told = f"the file {name} cannot be read: {NEVER[error.errno]}"
        return Refused(Reason.UNREADABLE, told, below)
    told = f"the file {name} cannot be read: {os.strerror(error.errno or 0)}"
    return TryAgain(Reason.UNREADABLE, told, below)
