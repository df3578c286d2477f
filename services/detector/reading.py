"""A file behind a descriptor: which version it is, and its bytes, whole and unchanged.

The detector's own process sees which version it has opened; what it hands over is read by a child.
"""

import errno
import os

from services.detector.failures import PictureFailed, Refused, TryAgain, changed, too_large
from shared.identity import file_version
from shared.reasons import Reason

GONE = {errno.ENOENT, errno.ENOTDIR}
NEVER = {
    errno.EACCES: "permission denied",
    errno.EPERM: "permission denied",
    errno.ELOOP: "its symbolic links go in a circle",
    errno.ENAMETOOLONG: "its name is too long",
}


def judge_version(found: os.stat_result, version: str, max_bytes: int) -> None:
    """See that an open file is the one that was submitted ('' for any), and not too large.

    Raises:
        Refused: it is not.
    """
    if version and file_version(found.st_size, found.st_mtime_ns) != version:
        raise changed()
    if found.st_size > max_bytes:
        raise too_large(found.st_size, max_bytes)


def read_whole(descriptor: int, version: str, max_bytes: int) -> bytes:
    """The bytes of an open file, if it is this version before and after. It stays open.

    Raises:
        Refused: it changed, or is too large, or may not be read.
        TryAgain: the storage failed.
    """
    try:
        return _read(descriptor, version, max_bytes)
    except OSError as error:
        raise unreadable(error, "the file") from None


def _read(descriptor: int, version: str, max_bytes: int) -> bytes:
    before = os.fstat(descriptor)
    judge_version(before, version, max_bytes)
    # Another child, which ended before this picture's turn, may have moved the position.
    os.lseek(descriptor, 0, os.SEEK_SET)
    with open(descriptor, "rb", buffering=0, closefd=False) as file:
        content = bytearray(before.st_size + 1)  # one more, to see a file that grows
        view, filled = memoryview(content), 0
        while filled < len(view) and (count := file.readinto(view[filled:])):
            filled += count
    after = os.fstat(descriptor)
    if filled != before.st_size or after.st_mtime_ns != before.st_mtime_ns:
        raise changed()
    return bytes(view[:filled])


def unreadable(error: OSError, named: str, below: str = "") -> PictureFailed:
    """What an error of the operating system means for a picture; `below` as in `PictureFailed`."""
    if error.errno in GONE:
        return Refused(Reason.GONE, f"{named} is gone", below)
    if error.errno in NEVER:
        told = f"{named} cannot be read: {NEVER[error.errno]}"
        return Refused(Reason.UNREADABLE, told, below)
    told = f"{named} cannot be read: {os.strerror(error.errno or 0)}"
    return TryAgain(Reason.UNREADABLE, told, below)
