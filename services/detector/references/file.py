"""Opening a file below an allowed folder."""

import os
import stat
from collections.abc import Sequence

from services.detector.failures import PictureFailed, Refused
from services.detector.reading import GONE, NEVER, judge_version, unreadable
from services.detector.references.opener import Opened, Rules
from shared.folders.paths import real_path
from shared.identity import display_name
from shared.reasons import Reason
from shared.references import FILES, allowed_by
from shared.urls import file_path, file_uri


def open_file(uri: str, version: str, rules: Rules) -> Opened:
    """A file below an allowed root; see `Opener`.

    The path is opened first and judged afterwards, by where it really led: a link that is changed
    between a check and an opening gains nothing. Only a regular file is opened for reading.
    """
    path, roots = _path_of(uri), rules.allow_list(FILES)
    try:
        opened = _open_regular(path, roots)
        try:
            judge_version(os.fstat(opened.descriptor), version, rules.max_bytes)
        except BaseException:  # whatever it is, it is raised again
            os.close(opened.descriptor)
            raise
    except OSError as error:
        raise _explained(error, path, roots) from None
    return opened


def peek(uri: str, roots: Sequence[str]) -> None:
    """See that a file can be read, by its first byte.

    Raises:
        OSError: it cannot.
        Refused: it is not a file below one of these roots.
    """
    descriptor = _open_regular(_path_of(uri), roots).descriptor
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


def _open_regular(path: bytes, roots: Sequence[str]) -> Opened:
    """A file to read from. With Linux' O_PATH nothing but a file is ever really opened, so a FIFO
    or a device neither hangs nor notices; elsewhere O_NONBLOCK keeps it from hanging."""
    safely = os.O_CLOEXEC | os.O_NOCTTY | os.O_NONBLOCK
    path_only = getattr(os, "O_PATH", None)
    handle = os.open(path, path_only | os.O_CLOEXEC if path_only else os.O_RDONLY | safely)
    try:
        below = _root_of(real_path(handle), roots)
        if below is None:
            raise _outside(roots)
        if not stat.S_ISREG(os.fstat(handle).st_mode):
            raise Refused(Reason.NOT_A_FILE, "it is not a file (a folder, a device or a pipe)")
        if path_only is None:
            return Opened(os.dup(handle), below)
        return Opened(os.open(f"/proc/self/fd/{handle}", os.O_RDONLY | safely), below)
    finally:
        os.close(handle)


def _root_of(path: bytes, roots: Sequence[str]) -> str | None:
    """What is allowed that a path is, or is in; None where it is in nothing."""
    return allowed_by(file_uri(path), tuple(roots))


def _outside(roots: Sequence[str]) -> Refused:
    sentence = (
        f"it is outside of the folders that {FILES.setting} allows"
        if roots
        else f"no folder may be read by reference here: set {FILES.setting}"
    )
    return Refused(Reason.NOT_ALLOWED, sentence)


def _explained(error: OSError, path: bytes, roots: Sequence[str]) -> PictureFailed:
    """What an error of the operating system means for this picture, if its folder is there."""
    below = _root_of(os.path.realpath(path), roots)
    if below is None and error.errno in GONE | NEVER.keys():
        return _outside(roots)  # do not tell whether something is there
    return unreadable(error, f"the file {display_name(path)}", below or "")
