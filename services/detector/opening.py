"""Opening a picture by reference, in the child: only what the settings allow, whole, unchanged.

Each scheme of URI has one opener; what is no file has its own module behind the same protocol.
"""

import errno
import os
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol
from urllib.parse import unquote_to_bytes

from shared.errors import Unreachable
from shared.identity import display_name, file_version
from shared.urls import BUCKET_SCHEMES


class Refused(Exception):
    """This picture cannot be had, now or later; the text is its reason."""


class TryAgain(Exception):
    """The storage failed in a way that may pass; the text is the reason."""


@dataclass(frozen=True)
class Rules:
    """What may be opened: folders as real paths, buckets, and the most bytes of one picture."""

    roots: tuple[Path, ...]
    max_bytes: int
    buckets: tuple[str, ...] = ()


class Opener(Protocol):
    """Reads one kind of reference."""

    def __call__(self, uri: str, version: str, rules: Rules) -> bytes:
        """The bytes of this version of a picture ('' for any version).

        Raises:
            Refused: it is gone, changed, too large, or not allowed.
            TryAgain: the storage failed.
            Unreachable: the storage is not there at all.
        """
        ...


def open_reference(uri: str, version: str, rules: Rules) -> bytes:
    """The bytes of a picture by reference; errors as `Opener`."""
    scheme = uri.partition(":")[0].lower()
    if scheme in BUCKET_SCHEMES:
        from services.detector.opening_bucket import open_object  # noqa: PLC0415 - only if used

        return open_object(uri, version, rules)
    opener = OPENERS.get(scheme)
    if opener is None:
        known = ", ".join((*OPENERS, *BUCKET_SCHEMES))
        raise Refused(f"references of the kind {scheme[:40]!r} cannot be opened; known: {known}")
    return opener(uri, version, rules)


GONE = {errno.ENOENT, errno.ENOTDIR}
NEVER = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ELOOP: "its symbolic links go in a circle",
    errno.ENAMETOOLONG: "its name is too long",
}
CHANGED = "changed_at_source: the file is not the one that was submitted; submit it again"


def open_file(uri: str, version: str, rules: Rules) -> bytes:
    """A file below an allowed root; see `Opener`.

    The path is opened first and judged afterwards, by where it really led: a link that is changed
    between a check and an opening gains nothing. Only a regular file is opened for reading.
    """
    path = _path_of(uri)
    try:
        descriptor = _open_regular(path, rules.roots)
        try:
            return _read(descriptor, version, rules.max_bytes)
        finally:
            os.close(descriptor)
    except OSError as error:
        raise _explained(error, path, rules.roots) from None


OPENERS: dict[str, Opener] = {"file": open_file}


def _path_of(uri: str) -> bytes:
    path = unquote_to_bytes(uri.removeprefix("file://"))
    if not path.startswith(b"/") or b"\0" in path:
        raise Refused("its reference is not the absolute path of a file")
    return path


def _open_regular(path: bytes, roots: Sequence[Path]) -> int:
    """A descriptor to read from. With Linux' O_PATH nothing but a file is ever really opened, so
    a FIFO or a device neither hangs nor notices; elsewhere O_NONBLOCK keeps it from hanging."""
    safely = os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    path_only = getattr(os, "O_PATH", None)
    handle = os.open(path, path_only | os.O_CLOEXEC if path_only else os.O_RDONLY | safely)
    try:
        if not _below(_real_path(handle), roots):
            raise Refused(_outside(roots))
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Refused("it is not a file (a folder, a device or a pipe)")
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


def _below(path: bytes, roots: Sequence[Path]) -> bool:
    return any(path.startswith(os.fsencode(root).rstrip(b"/") + b"/") for root in roots)


def _outside(roots: Sequence[Path]) -> str:
    if not roots:
        return "no folder may be read by reference here: set FACES_SOURCE_ROOTS"
    return "it is outside of the folders that FACES_SOURCE_ROOTS allows"


def _read(descriptor: int, version: str, max_bytes: int) -> bytes:
    """The whole file, if it is this version before and after."""
    before = os.fstat(descriptor)
    if version and file_version(before.st_size, before.st_mtime_ns) != version:
        raise Refused(CHANGED)
    if before.st_size > max_bytes:
        raise Refused(f"{before.st_size:,} bytes; FACES_MAX_FILE_BYTES allows {max_bytes:,}")
    with open(descriptor, "rb", buffering=0, closefd=False) as file:
        content = bytearray(before.st_size + 1)  # one more, to see a file that grows
        view, filled = memoryview(content), 0
        while filled < len(view) and (count := file.readinto(view[filled:])):
            filled += count
    after = os.fstat(descriptor)
    if filled != before.st_size or after.st_mtime_ns != before.st_mtime_ns:
        raise Refused(CHANGED)
    return bytes(view[:filled])


def _explained(error: OSError, path: bytes, roots: Sequence[Path]) -> Exception:
    """What an error of the operating system means for this picture."""
    name, real = display_name(path), os.path.realpath(path)
    if error.errno in GONE | NEVER.keys() and not _below(real, roots):
        return Refused(_outside(roots))  # whether something is there is nobody's business
    if error.errno in GONE:
        if missing := [root for root in roots if _below(real, [root]) and not root.exists()]:
            return Unreachable(f"FACES_SOURCE_ROOTS: {missing[0]} is not there; is it mounted?")
        return Refused(f"the file {name} is gone")
    if error.errno in NEVER:
        return Refused(f"the file {name} cannot be read: {NEVER[error.errno]}")
    return TryAgain(f"the file {name} cannot be read: {os.strerror(error.errno or 0)}")
