"""Walking a folder in a fixed order, so that another process can go on where a walk stopped.

Paths are bytes throughout: a file name need not be UTF-8. Folders are listed, and files are looked
at, in folders that are open: a folder that is exchanged for a link meanwhile leads nowhere.
"""

import errno
import os
import stat
from bisect import bisect_left, bisect_right
from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field

from services.ingest.sources.standing import Standing
from shared.folders.paths import led_to, lies_below
from shared.folders.patterns import Choice
from shared.folders.rules import OWN_MARK, OWN_OUTPUT, rule_of
from shared.identity import display_name
from shared.media import kind_of
from shared.reasons import Failure, Reason

LEADS_OUTSIDE = Failure(
    Reason.NOT_ALLOWED,
    "a link that leads outside of the folders that may be read; `faces run --follow-links` reads "
    "what links lead to, and a service what lies below its FACES_SOURCE_ROOTS",
)

PATH_LIMIT = 4096
"""Linux' PATH_MAX, with the NUL at the end. Name by name one could go deeper."""

_COUNTED = b"\0"
"""Behind a name in a listing comes this and a kind where it is only counted: when the walk comes
by, so that it is not counted again where the walk goes on elsewhere."""

LINK = "link"
LINK_TO_PICTURE = "link_to_picture"
EXCLUDED = "excluded"
"""What is counted as passed over, beside the kinds of `shared.folders.rules`."""

IsAllowed = Callable[[bytes], bool]
"""Whether a path, in which links are resolved, may be read."""


@dataclass(frozen=True)
class Visited:
    """A picture, or a folder that could not be listed, by its path relative to the root.

    `status` is the picture's: of a link, that of what it leads to.
    """

    path: bytes
    problem: Failure | None = None
    status: os.stat_result | None = field(default=None, compare=False)


def is_input(name: bytes) -> bool:
    """Whether a file gets a row: it is a picture, or what a person could take for an input, by the
    extension of its name. Hidden files are never taken."""
    return kind_of(name) is not None


class Walk:
    """The pictures below a folder, in the order of their names' bytes, depth first.

    Only the listings from the root to the current folder are kept: a million files in one folder
    take about 100 MB, a million in folders of a thousand next to nothing. However deep it goes,
    few descriptors are open, and none between two steps. Hidden files, `excluded` folders
    (relative paths), what `choice` leaves out and the folders of `shared.folders.rules` are not
    visited, and folders among them not entered.

    A link to a file that may be read is a picture like any other; one that leads elsewhere is
    visited as a problem. Links to folders are passed over, unless they are to be followed and lead
    to what may be read: then each folder is walked once, however many links lead to it or back.
    Who follows links and goes on where another walk stopped has to list all that lies before.

    Attributes:
        position: where it stands: the relative path that was visited last.
        began: where it stood before its last step.
        passed_over: how much of each kind it came by and did not visit: links to folders that it
            does not come to otherwise, what a pattern excluded, folders by each rule.
        examples: the first folder of each kind that was passed over, by its relative path.
    """

    def __init__(
        self,
        root: bytes,
        after: bytes = b"",
        excluded: frozenset[bytes] = frozenset(),
        *,
        may_read: IsAllowed | None = None,
        follow_links: bool = False,
        choice: Choice | None = None,
    ) -> None:
        """Start behind `after`, the relative path that was visited last; '' starts at the front.

        `root` is absolute and without links. Without `may_read`, what lies below it may be read.
        """
        self._root = root
        self._excluded = excluded
        self._no_go = [os.path.normpath(os.path.join(root, folder)) for folder in excluded]
        self._may_read = may_read or (lambda path: lies_below(path, root))
        self._follow_links = follow_links
        self._choice = choice or Choice()
        self._walked: dict[tuple[int, int], bytes | None] = {}
        """Folders by device and inode, where links are followed, and the path of each here; None
        for those that are left out."""
        self._standing = Standing(root, self._may_read)
        self.passed_over: Counter[str] = Counter()
        self.examples: dict[str, str] = {}
        self.position = self.began = after
        # Which links were followed before decides which are followed now.
        self._visits = self._visit(after, resumes=not follow_links)

    def take(self, count: int) -> list[Visited]:
        """The next visits, up to `count`; fewer mean that the walk is over."""
        self.began = self.position
        visits: list[Visited] = []
        with self._standing:
            for visit in self._visits:
                visits.append(visit if visit.problem else self._seen(visit.path))
                if len(visits) == count:
                    break
        if visits:
            self.position = visits[-1].path
        return visits

    def step_back(self) -> None:
        """Stand where the last step began, to look anew at what it visited; what lies before is
        known."""
        self.position = self.began
        self._visits = self._visit(self.began, resumes=bool(self._walked) or not self._follow_links)

    def _seen(self, path: bytes) -> Visited:
        """A picture, with what it is now."""
        folder, slash, name = path.rpartition(b"/")
        try:
            self._see_that_it_can_be_opened(path)
            at = self._standing.open(folder + slash)
            status = os.stat(name, dir_fd=at, follow_symlinks=False)
            if stat.S_ISLNK(status.st_mode):
                return self._link(path, name, at)
        except OSError as error:
            return Visited(path, unreadable(error, "cannot be read"))
        return Visited(path, status=status)

    def _see_that_it_can_be_opened(self, path: bytes) -> None:
        """By its whole path, as a detector opens it."""
        if len(self._root) + 1 + len(path) >= PATH_LIMIT:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))

    def _link(self, path: bytes, name: bytes, at: int) -> Visited:
        try:
            real, status = led_to(name, at, os.path.dirname(os.path.join(self._root, path)))
        except OSError as error:
            real = os.path.realpath(os.path.join(self._root, path))
            if self._may_read(real):  # else nobody is told whether something is there
                return Visited(path, unreadable(error, "cannot be read"))
        if not self._may_read(real):
            return Visited(path, LEADS_OUTSIDE)
        return Visited(path, status=status)

    def _visit(self, after: bytes, *, resumes: bool) -> Iterator[Visited]:
        # Each level: its folder (relative, with a slash at the end, or b''), its listing, and
        # where in it the walk stands.
        levels: list[tuple[bytes, list[bytes], int]] = []
        problem = yield from self._enter(levels, b"")
        if not problem and after and resumes:
            yield from self._resume(levels, after)
        behind = [] if resumes else _in_order(after)
        while levels:
            folder, names, index = levels.pop()
            if index == len(names):
                continue
            levels.append((folder, names, index + 1))
            path = folder + names[index]
            if _COUNTED in path:
                if not behind or _in_order(path) > behind:
                    self._count(path)
                continue
            visits = self._enter(levels, path) if path.endswith(b"/") else _one(path)
            for visit in visits:
                if not behind or _in_order(visit.path) > behind:
                    yield visit

    def _count(self, path: bytes) -> None:
        passed, _, kind = path.rpartition(_COUNTED)
        self.passed_over[kind.decode()] += 1
        if passed.endswith(b"/"):
            self.examples.setdefault(kind.decode(), display_name(passed))

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
        """Names of a folder, sorted: pictures, folders with a slash at the end, and what is only
        counted."""
        self._see_that_it_can_be_opened(folder)
        at = self._standing.open(folder)
        if self._follow_links and self._was_walked(at, folder):
            return []
        names, takes_all = [], self._choice.takes_all
        with os.scandir(at) as entries:
            for entry in entries:
                name = os.fsencode(entry.name)  # of an open folder they come as text
                if _is_folder(entry):
                    if name == OWN_MARK and not self._may_be_output(folder):
                        return [_counted(b"", OWN_OUTPUT)]
                    if name == OWN_MARK or folder + name in self._excluded:
                        continue
                    kind = self._kind_passed_over(folder + name, name)
                    if kind:
                        names.append(_counted(name + b"/", kind))
                        continue
                    ending = self._link_to(folder, name, at) if entry.is_symlink() else b"/"
                    if ending:
                        names.append(name + ending)
                elif is_input(name):
                    taken = takes_all or self._choice.takes(folder + name)
                    names.append(name if taken else _counted(name, EXCLUDED))
        names.sort()
        return names

    def _kind_passed_over(self, path: bytes, name: bytes) -> str:
        """Why a folder is not entered; '' where it is."""
        if self._choice.excludes(path, is_folder=True):
            return EXCLUDED
        rule = rule_of(name)
        return rule.kind if rule and not self._choice.names(path) else ""

    def _may_be_output(self, folder: bytes) -> bool:
        """Whether a folder is searched though it is the OUT of a run: it was given itself, or is
        included by name."""
        return not folder or self._choice.names(folder.rstrip(b"/"))

    def _link_to(self, folder: bytes, link: bytes, at: int) -> bytes:
        """What a listing has behind the name of a link to a folder: `/` where the walk goes through
        it, nothing where it has no part in it."""
        try:
            real, _ = led_to(link, at, os.path.join(self._root, folder))
        except OSError:
            return b""
        if self._comes_to(real):
            return b""
        if self._follow_links and self._may_read(real):
            self._standing.links.add(folder + link + b"/")
            return b"/"
        return _counted(b"/", LINK)

    def _comes_to(self, real: bytes) -> bool:
        """Whether the walk comes to a folder without any link, or is never to come there."""
        if any(lies_below(real, folder) for folder in self._no_go):
            return True
        if not lies_below(real, self._root):
            return False
        names = os.path.relpath(real, self._root).split(b"/")
        return not any(name.startswith(b".") and name != b"." for name in names)

    def _was_walked(self, at: int, folder: bytes) -> bool:
        """Whether the walk comes to a folder by another path."""
        status = os.fstat(at)
        if not self._walked:
            self._walked.update(dict.fromkeys(_identities(self._no_go)))
        return self._walked.setdefault((status.st_dev, status.st_ino), folder) != folder


def unreadable(error: OSError, what: str) -> Failure:
    """The failure of a file or folder, from the operating system's error; `what` begins it."""
    gone = error.errno in (errno.ENOENT, errno.ENOTDIR)
    return Failure(Reason.GONE if gone else Reason.UNREADABLE, f"{what}: {error.strerror or error}")


def _counted(name: bytes, kind: str) -> bytes:
    return name + _COUNTED + kind.encode()


def _is_folder(entry: "os.DirEntry[str]") -> bool:
    """Whether it is a folder, or a link to one."""
    try:
        return entry.is_dir()
    except OSError:
        return False  # a link in a circle, or to where nobody may look


def _one(path: bytes) -> Iterable[Visited]:
    return (Visited(path),)


def _in_order(path: bytes) -> list[bytes]:
    """What paths are sorted by: names, those of folders with a slash at the end."""
    *folders, last = path.split(b"/")
    return [*(name + b"/" for name in folders), *([last] if last else [])]


def _identities(folders: list[bytes]) -> Iterator[tuple[int, int]]:
    for folder in folders:
        with suppress(OSError):
            status = os.stat(folder)
            yield status.st_dev, status.st_ino
