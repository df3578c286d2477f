"""Folders that may be mounted: whether one is there now, or its volume is gone for a while."""

import os
import stat
from collections.abc import Iterable
from pathlib import Path

from shared.errors import Unreachable
from shared.urls import file_path, file_uri


def folders_of(allowed: Iterable[str]) -> dict[str, str]:
    """Of each allowed root the folder that may be away, as URIs: itself, or of one file its own."""
    return {root: _folder_of(root) for root in allowed}


def _folder_of(uri: str) -> str:
    path = file_path(uri)
    return file_uri(os.path.dirname(path)) if os.path.isfile(path) else uri  # noqa: PTH113, PTH120


class MountedFolder:
    """A folder that should be there.

    A volume that is unmounted leaves an empty folder behind, and what was in it looks deleted. So
    the deepest mount point above the folder is remembered: while there is none any more, the folder
    does not count as there. (A mount of another folder of the same device cannot be told.)
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._mount: Path | None = None

    def see(self) -> None:
        """Look whether it is there. Blocks as long as the file system does.

        Raises:
            Unreachable: it is not, in words for people.
        """
        try:
            there = stat.S_ISDIR(self.folder.stat().st_mode)
        except (FileNotFoundError, NotADirectoryError):
            there = False
        except OSError as error:
            raise Unreachable(f"{self.folder}: {error.strerror or error}") from None
        if not there:
            raise Unreachable(f"{self.folder} is not there; is it mounted?")
        mount = _mount_above(self.folder)
        if self._mount is not None and mount in self._mount.parents:
            raise Unreachable(f"{self.folder}: {self._mount} is not mounted any more")
        self._mount = mount


def _mount_above(folder: Path) -> Path:
    """The mount point that a folder is on."""
    return next(
        path for path in (folder, *folder.parents) if path.is_mount() or path == path.parent
    )
