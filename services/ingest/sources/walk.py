"""Walking a folder in a fixed order, so that another process can go on where a walk stopped.

Paths are bytes throughout: a file name need not be UTF-8.
"""

import errno
import os
from bisect import bisect_left, bisect_right
from collections.abc import Generator, Iterator
from dataclasses import dataclass

from shared.reasons import Failure, Reason

PICTURE_SUFFIXES = frozenset(
    b".jpg .jpeg .jpe .jfif .png .webp .avif .heic .heif .tif .tiff .bmp .dib .gif "
    b".jp2 .j2k .jpx .pbm .pgm .ppm .pnm".split()
)
"""Which files of a folder are pictures. Formats that this build cannot read are among them: such
a file gets a row that says so."""


@dataclass(frozen=True)
class Visited:
    """A picture, or a folder that could not be listed, by its path relative to the root."""

    path: bytes
    problem: Failure | None = None


def is_picture(name: bytes) -> bool:
    """Whether a file's name has the extension of a picture; hidden files are never taken."""
    return not name.startswith(b".") and os.path.splitext(name)[1].lower() in PICTURE_SUFFIXES


class Walk:
    """The pictures below a folder, in the order of their names' bytes, depth first.

    Only the listings from the root to the current folder are kept: a million files in one folder
    take about 100 MB, a million in folders of a thousand next to nothing. Links to folders are
    not followed; hidden files and folders, and `excluded` folders (relative paths), are left out.
    """

    def __init__(self, root: bytes, after: bytes = b"", excluded: frozenset[bytes] = frozenset()):
        """Start behind `after`, the relative path that was visited last; '' starts at the front."""
        self._root = root
        self._excluded = excluded
        self.position = after
        self._visits = self._visit(after)

    def take(self, count: int) -> list[Visited]:
        """The next visits, up to `count`; fewer mean that the walk is over."""
        visits: list[Visited] = []
        for visit in self._visits:
            visits.append(visit)
            if len(visits) == count:
                break
        if visits:
            self.position = visits[-1].path
        return visits

    def _visit(self, after: bytes) -> Iterator[Visited]:
        # Each level: its folder (relative, with a slash at the end, or b''), its listing, and
        # where in it the walk stands.
        levels: list[tuple[bytes, list[bytes], int]] = []
        problem = yield from self._enter(levels, b"")
        if not problem and after:
            yield from self._resume(levels, after)
        while levels:
            folder, names, index = levels.pop()
            if index == len(names):
                continue
            levels.append((folder, names, index + 1))
            path = folder + names[index]
            if path.endswith(b"/"):
                yield from self._enter(levels, path)
            else:
                yield Visited(path)

    def _enter(
        self, levels: list[tuple[bytes, list[bytes], int]], folder: bytes
    ) -> Generator[Visited, None, bool]:
        """Put a folder on the stack; True if it cannot be read, which is visited as a problem."""
        try:
            levels.append((folder, self._list(folder), 0))
        except OSError as error:
            yield Visited(folder or b"./", unreadable(error, "folder cannot be read"))
            return True
        return False

    def _resume(
        self, levels: list[tuple[bytes, list[bytes], int]], after: bytes
    ) -> Iterator[Visited]:
        """Go down to the folder of `after` and stand behind it, also where it is gone by now."""
        *folders, last = after.rstrip(b"/").split(b"/")
        if after.endswith(b"/"):
            last += b"/"
        for name in folders:
            folder, names, _ = levels.pop()
            index = bisect_left(names, name + b"/")
            there = index < len(names) and names[index] == name + b"/"
            levels.append((folder, names, index + 1 if there else index))
            if not there:
                return
            yield from self._enter(levels, folder + name + b"/")
        folder, names, _ = levels.pop()
        levels.append((folder, names, bisect_right(names, last)))

    def _list(self, folder: bytes) -> list[bytes]:
        """Names of a folder, sorted: pictures, and folders with a slash at the end."""
        names = []
        with os.scandir(self._root + b"/" + folder) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    hidden = entry.name.startswith(b".")
                    if not hidden and folder + entry.name not in self._excluded:
                        names.append(entry.name + b"/")
                elif is_picture(entry.name):
                    names.append(entry.name)
        names.sort()
        return names


def unreadable(error: OSError, what: str) -> Failure:
    """The failure of a file or folder, from the operating system's error; `what` begins it."""
    gone = error.errno in (errno.ENOENT, errno.ENOTDIR)
    return Failure(Reason.GONE if gone else Reason.UNREADABLE, f"{what}: {error.strerror or error}")
