"""Patterns on paths, by the rules of gitignore: which of a folder's files are left out, or taken.

Differences from gitignore: letters match in either case, and there is no `!`. Paths are bytes and
need not be UTF-8. A pattern may come from a stranger: each part of a path is matched against each
part of a pattern once, of which there are few, and a part by `fnmatch`, whose stars take what is
shortest and never try again; so no pattern takes long.
"""

import os
import re
from collections.abc import Iterable, Iterator
from fnmatch import translate

MOST_PATTERNS = 64
"""Patterns that one source may have of each kind."""

LONGEST_PATTERN = 500
"""Characters of one."""

MOST_PARTS = 16
"""Names between slashes in one: each may be compared with each name of a path."""

_ANY_DEPTH = "**"


class Pattern:
    """One pattern: `*.png` at any depth, `/raw` or `a/b` from the folder that was given, `raw/`
    folders alone, `**` any folders between, `?` and `[abc]` as in a shell."""

    def __init__(self, text: str) -> None:
        self._folders_only = text.endswith("/")
        parts = [part for part in text.split("/") if part]
        if not parts or "\0" in text:
            raise ValueError(f"{text!r} is no pattern: it names nothing")
        if len(parts) > MOST_PARTS:
            raise ValueError(f"{text!r} has more than {MOST_PARTS} names between slashes")
        if "/" not in text.rstrip("/"):
            parts.insert(0, _ANY_DEPTH)
        self._parts = [
            None if part == _ANY_DEPTH else re.compile(translate(part), re.IGNORECASE)
            for part in parts
        ]

    def matches(self, path: bytes, *, is_folder: bool) -> bool:
        """Whether this path itself matches; what lies in a folder that does is for the caller."""
        if self._folders_only and not is_folder:
            return False
        standing = self._skipping({0})
        """Where in the pattern one may stand after each part of the path."""
        for name in os.fsdecode(path).split("/"):
            standing = self._skipping(set(self._steps(standing, name)))
            if not standing:
                return False
        return len(self._parts) in standing

    def covers(self, path: bytes) -> bool:
        """Whether a file's path matches, or a folder above it."""
        *folders, _ = names = os.fsdecode(path).split("/")
        standing = self._skipping({0})
        for depth, name in enumerate(names, start=1):
            standing = self._skipping(set(self._steps(standing, name)))
            is_folder = depth <= len(folders)
            if len(self._parts) in standing and (is_folder or not self._folders_only):
                return True
            if not standing:
                return False
        return False

    def _steps(self, standing: Iterable[int], name: str) -> Iterator[int]:
        """Where one may stand behind one more part of the path."""
        last = len(self._parts) - 1
        for at in standing:
            if at > last:
                continue
            part = self._parts[at]
            if part is None:
                yield at
                if at == last:
                    yield at + 1
            elif part.match(name):
                yield at + 1

    def _skipping(self, standing: set[int]) -> set[int]:
        """`**` may stand for no folder at all, but not at the end."""
        last = len(self._parts) - 1
        for at in tuple(standing):
            following = at
            while following < last and self._parts[following] is None:
                following += 1
                standing.add(following)
        return standing


class Choice:
    """What `--exclude` and `--include` leave of a folder.

    A path is excluded if a pattern of `exclude` matches it or a folder above it. With `include`,
    a file is taken only if one of its patterns matches the file or a folder above it.
    """

    def __init__(self, exclude: Iterable[str] = (), include: Iterable[str] = ()) -> None:
        """Raises ValueError for what is no pattern."""
        self._exclude = [Pattern(text) for text in exclude]
        self._include = [Pattern(text) for text in include]

    @property
    def takes_all(self) -> bool:
        """Whether there is no pattern at all."""
        return not self._exclude and not self._include

    def excludes(self, path: bytes, *, is_folder: bool) -> bool:
        """Whether a path itself is excluded; of one in an excluded folder nobody asks."""
        return any(one.matches(path, is_folder=is_folder) for one in self._exclude)

    def names(self, folder: bytes) -> bool:
        """Whether a folder is included by name, itself or by a folder above it."""
        return any(
            one.matches(above, is_folder=True)
            for above in _and_above(folder)
            for one in self._include
        )

    def takes(self, path: bytes) -> bool:
        """Whether a file is taken, of which no folder above is excluded."""
        if self.excludes(path, is_folder=False):
            return False
        return not self._include or any(one.covers(path) for one in self._include)


def _and_above(folder: bytes) -> Iterator[bytes]:
    """A folder and those above it."""
    while folder:
        yield folder
        folder = folder.rpartition(b"/")[0]


EVERYTHING = Choice()
