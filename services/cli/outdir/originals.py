"""Originals below the paths that runs were given: found, read, and replaced whole or not at all."""

import errno
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from urllib.parse import unquote_to_bytes

from shared.folders.folder import Folder
from shared.folders.new_files import new_file, unfinished, unlink_quietly
from shared.identity import file_version


@dataclass(frozen=True)
class Original:
    """A file below a path that a run was given: its folder there, and its name in that folder."""

    root: bytes
    relative: PurePosixPath

    @contextmanager
    def opened(self) -> Iterator[Folder]:
        """The root's folder, open."""
        with Folder.open(Path(os.fsdecode(self.root))) as folder:
            yield folder

    def sidecar(self, name: str) -> str:
        """A file beside it."""
        return str(self.relative.with_name(name))


class Originals:
    """The files below some paths."""

    def __init__(self, roots: list[bytes]) -> None:
        self._roots = sorted(roots, key=len, reverse=True)

    def find(self, source: str) -> Original | None:
        """The file of a source; None of what is no file, or not below the paths."""
        if not source.startswith("file:///"):
            return None
        path = unquote_to_bytes(source.removeprefix("file://"))
        for root in self._roots:
            if path == root:
                folder, _, name = path.rpartition(b"/")
                return Original(folder or b"/", PurePosixPath(os.fsdecode(name)))
            below = root.rstrip(b"/") + b"/"
            if path.startswith(below):
                return Original(root, PurePosixPath(os.fsdecode(path[len(below) :])))
        return None


def version_of(status: os.stat_result) -> str:
    """The version of a file, as it is named by."""
    return file_version(status.st_size, status.st_mtime_ns)


def replace_original(
    folder: Folder, name: str, content: bytes, before: os.stat_result
) -> os.stat_result:
    """Give an original new content; its mode, owner, time of change and attributes stay.

    `before` is its status when it was read; the new one is returned. It is there whole, or as it
    was before, also after a crash of the machine.

    Raises:
        OSError: as the system says it, or somebody has changed it since.
    """
    with folder.at(name) as (within, last):
        beside = unfinished()
        descriptor = new_file(within, beside, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content)
                file.flush()
                _keep_properties(within, last, file.fileno(), before)
                os.fsync(file.fileno())
                made = os.fstat(file.fileno())
            now = os.stat(last, dir_fd=within, follow_symlinks=False)
            if _state(now) != _state(before) or made.st_mtime_ns != before.st_mtime_ns:
                raise OSError(errno.ESTALE, "it has just been changed, and is left alone")
            os.rename(beside, last, src_dir_fd=within, dst_dir_fd=within)
        except BaseException:  # whatever it is, it is raised again
            unlink_quietly(within, beside)
            raise
        os.fsync(within)
    return made


def _keep_properties(folder: int, name: bytes, new: int, before: os.stat_result) -> None:
    with suppress(PermissionError):  # only root gives files away
        os.fchown(new, before.st_uid, before.st_gid)
    os.fchmod(new, stat.S_IMODE(before.st_mode))
    old = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK, dir_fd=folder)
    try:
        for attribute in _attributes(old):
            try:
                os.setxattr(new, attribute, os.getxattr(old, attribute))
            except OSError:
                if attribute.startswith("user."):
                    raise
    finally:
        os.close(old)
    os.utime(new, ns=(before.st_atime_ns, before.st_mtime_ns))


def _attributes(descriptor: int) -> list[str]:
    with suppress(OSError):  # the disk has none
        return os.listxattr(descriptor)
    return []


def _state(status: os.stat_result) -> tuple[int, ...]:
    return status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns, status.st_nlink
