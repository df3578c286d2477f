"""Where a walk stands: its root and one folder below it, open as long as a step lasts."""

import errno
import os
from collections.abc import Callable

from shared.folders.paths import real_path
from shared.folders.steps import open_folder


class Standing:
    """Opens folders below a root, name by name, without following a link.

    Two descriptors at most are kept, however deep the folder is; the block's end closes them, so
    that a volume can be unmounted between two steps, and what is mounted then is what is opened.

    Attributes:
        links: folders (relative paths with a slash at the end) that are links to be followed.
    """

    def __init__(self, root: bytes, may_read: Callable[[bytes], bool]) -> None:
        """What `root`, or a link, really leads to is opened only if `may_read` says so."""
        self._root = root
        self._may_read = may_read
        self._top = -1
        self._folder = -1
        self._path = b""
        self.links: set[bytes] = set()

    def __enter__(self) -> None:
        """Nothing is open before it is asked for."""

    def __exit__(self, *_: object) -> None:
        self._leave()
        if self._top >= 0:
            os.close(self._top)
            self._top = -1

    def open(self, folder: bytes) -> int:
        """The descriptor of a folder (relative, with a slash at the end; '' is the root), until
        another is asked for.

        Raises:
            OSError: it is not there, or no longer a folder.
        """
        if self._top < 0:
            self._top = self._judged(self._root)
        if not folder:
            return self._top
        if self._folder < 0 or folder != self._path:
            descriptor = self._go_down(folder)
            self._leave()
            self._folder, self._path = descriptor, folder
        return self._folder

    def _leave(self) -> None:
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1

    def _go_down(self, folder: bytes) -> int:
        at, path, start = self._top, b"", 0
        if self._folder >= 0 and folder.startswith(self._path):
            at, path = self._folder, self._path
            start = len(path)
        kept = at
        for name in folder[start:].rstrip(b"/").split(b"/"):
            path += name + b"/"
            try:
                if path in self.links:
                    below = self._judged(name, at=at, follow=True)
                else:
                    below = open_folder(name, at=at)
            finally:
                if at != kept:
                    os.close(at)
            at = below
        return at

    def _judged(self, path: bytes, *, at: int | None = None, follow: bool = False) -> int:
        """Opened first, and judged by where that led."""
        descriptor = open_folder(path, at=at, follow=follow)
        try:
            if not self._may_read(real_path(descriptor)):
                raise NotADirectoryError(errno.ENOTDIR, "it is by now a link that leads elsewhere")
        except BaseException:  # whatever it is, it is raised again
            os.close(descriptor)
            raise
        return descriptor
