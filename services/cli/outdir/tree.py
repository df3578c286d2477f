"""`OUT/annotated/`: results under their pictures' own names, as a mirror of the input folders.

A result is a hard link to its object (a reflink or a copy where that is not possible). The record
says what lies where, so that placing is idempotent, a newer result replaces its older one, and two
different pictures never share a name. No link below `annotated` or `objects` is followed: pictures
whose folder is one lie beside it, and `links` says so. One that no name can be found for stops
nothing but itself.
"""

import errno
import os
import stat
from collections import Counter
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from itertools import chain
from pathlib import Path, PurePosixPath

import structlog

from services.cli.outdir.names import fits, other_names, result_path
from services.cli.outdir.placing import place
from services.cli.outdir.record import Place, Record
from services.cli.outdir.roots import Roots
from shared.catalog import Member
from shared.folders.folder import Folder
from shared.folders.new_files import unfinished
from shared.folders.paths import path_limit
from shared.folders.steps import Linked
from shared.picture_keys import PictureKeys

log = structlog.get_logger()

REFUSES_ALL = frozenset((errno.ENOSPC, errno.EDQUOT, errno.EROFS))
"""What a disk says of any file alike."""

SIDECAR_ROOM = len(".json")

OBJECT_GONE = "their objects are gone or empty, also after they were searched again"
NO_FREE_NAME = "other files have all names that they could have"


class Tree:
    """The mirrored tree in `annotated`, of objects in a folder `objects`; for one run at a time.

    Attributes:
        links: links that were met where a folder should be; nothing was read or written behind
            them.
        damaged: ended pictures whose object is gone, empty or cut short since it was placed, by
            their ids. Only searching again makes it anew; see `again`.
        renamed: ids of those that got another name in this run, since the system refuses theirs.
        not_placed: why there is no result of an id.
        changed: ids of those whose result somebody added to since; these are left alone.
        uncovered: ids of those whose result hid the faces, and was replaced by one that shows them.
    """

    def __init__(
        self,
        annotated: Path,
        objects: Path,
        record: Record,
        roots: Roots,
        hiding: frozenset[str] = frozenset(),
    ) -> None:
        """`hiding`: the ids of recipes whose pictures show no face."""
        self.annotated = annotated
        self.objects = Path(os.path.realpath(objects))  # which may be a link; but not from now on
        self.roots = roots
        self.hiding = hiding
        self._record = record
        self.own_recipe = False
        self.links: set[Path] = set()
        self.damaged: dict[str, Member] = {}
        self.renamed: set[str] = set()
        self.not_placed: dict[str, str] = {}
        self.changed: set[str] = set()
        self.uncovered: set[str] = set()
        self._again: set[str] = set()

    def remember_roots(self) -> None:
        """Note this run's paths, for whoever does some of its pictures again."""
        self._record.keep_roots(self.roots.known())

    def recall_roots(self, *, own_recipe: bool) -> None:
        """Name pictures as the earlier runs did that first found them.

        With `own_recipe` a result only replaces one of its own recipe, and not a newer one's.
        """
        self.own_recipe = own_recipe
        self.roots.recall(self._record.roots())

    @property
    def refusals(self) -> Counter[str]:
        """How many have no result in the tree, by the reason."""
        return Counter(self.not_placed.values())

    def again(self) -> list[Member]:
        """Take those that are damaged, to be searched again: each once in a run."""
        taken = list(self.damaged.values())
        self._again.update(self.damaged)
        self.damaged.clear()
        return taken

    def is_damaged(self, member: Member) -> None:
        """Note that a picture's object is gone."""
        if member.id in self._again:
            self.refuse(member, OBJECT_GONE)
        else:
            self.damaged[member.id] = member

    def refuse(self, member: Member, reason: str) -> None:
        """Note that there is no result of a picture in the tree, and why."""
        log.warning("result not placed", image=member.id, reason=reason)
        self.not_placed[member.id] = reason

    def place(self, members: Iterable[Member]) -> int:
        """Give the result of each ended picture its name; how many changed.

        One without an annotated picture loses the result that it had. Those without a source (sent
        along with their bytes) have no name here. Doing it again costs a look-up each.

        Raises:
            OSError: the disk is full, or nothing at all can be written in the folder.
        """
        with (
            self._record.one_commit(),
            Folder.open(self.annotated, make=True, link=False) as annotated,
            Folder.open(self.objects, link=False) as objects,
        ):
            placing = _Placing(self, self._record, annotated, objects)
            return sum(
                placing.place(member, member.source_uri)
                for member in members
                if member.source_uri is not None
            )


def key_of(member: Member) -> str:
    """The key of a picture's object that is its result."""
    keys = PictureKeys(member.recipe, member.id)
    return keys.annotated_in(member.annotated_uri or "")


class _NotPlaced(Exception):
    """Why one has no result in the tree."""


class _Placing:
    """The tree while its folders are open."""

    def __init__(self, tree: Tree, record: Record, annotated: Folder, objects: Folder) -> None:
        self._tree = tree
        self._record = record
        self._annotated = annotated
        self._objects = objects
        self._room = path_limit() - len(os.fsencode(tree.annotated)) - len("/") - SIDECAR_ROOM

    def place(self, member: Member, source: str) -> bool:
        """Give one result its name; whether anything changed."""
        known = self._record.place(source)
        if self._tree.own_recipe and known and not known.object.startswith(f"{member.recipe}/"):
            return False
        if member.annotated_uri is None:
            return known is not None and self._remove(known)
        key = key_of(member)
        is_known = (
            known is not None
            and known.object == key
            and known.generation in (None, member.generation)
        )
        size = self._size_of_object(key, known.size if known and is_known else None)
        if size is None:
            self._tree.is_damaged(member)
            return False
        if known is not None and is_known and self._is_whole(member, known, size):
            return False
        try:
            target = self._renew(key, known) or self._link_new(key, source, member.id)
        except _NotPlaced as reason:
            self._tree.refuse(member, str(reason))
            return False
        self._tree.not_placed.pop(member.id, None)
        self._note_uncovered(member, known)
        self._record.keep(Place(source, target, key, member.generation, size))
        return True

    def _size_of_object(self, key: str, placed: int | None) -> int | None:
        """How large an object is; None where it is gone, or lost something since it was placed."""
        try:
            found = self._objects.status(key)
        except Linked:
            return None
        is_file = found is not None and stat.S_ISREG(found.st_mode)
        if found is None or not is_file or found.st_size < max(placed or 0, 1):
            return None
        return found.st_size

    def _is_whole(self, member: Member, known: Place, size: int) -> bool:
        """Whether a result lies where it was placed, with all that was in it. What an earlier
        version placed is as large as its object, and is noted now."""
        with suppress(Linked):
            found = self._annotated.status(known.target)
            if found is None or not stat.S_ISREG(found.st_mode):
                return False
            if known.size is None:
                if found.st_size != size:
                    return False
                self._record.keep(
                    Place(known.source, known.target, known.object, member.generation, size)
                )
                return True
            if found.st_size > known.size:
                self._tree.changed.add(member.id)
            return found.st_size >= known.size
        return False

    def _renew(self, key: str, known: Place | None) -> str | None:
        """Replace an older result under its name; None where there is none, or it cannot be."""
        if known is None:
            return None
        if not fits(known.target, key):  # drawn in another format now
            self._remove(known)
            return None
        if self._replaced(key, known.target):
            return known.target
        self._record.drop(known.source)
        return None

    def _note_uncovered(self, member: Member, known: Place | None) -> None:
        before = known.object.partition("/")[0] if known else ""
        if before in self._tree.hiding and member.recipe not in self._tree.hiding:
            self._tree.uncovered.add(member.id)

    def _link_new(self, key: str, source: str, image_id: str) -> str:
        """Link under the first fitting name that nobody has, and that the disk can have; that name.

        Raises:
            _NotPlaced: there is none.
            OSError: nothing at all can be written.
        """
        relative = result_path(self._tree.roots.relative(source), image_id, key.rpartition(".")[2])
        refused: OSError | None = None
        for candidate in chain((relative,), other_names(relative, image_id)):
            name = str(candidate)
            if len(name.encode()) >= self._room:
                refused = OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG))
                continue
            try:
                if self._linked(key, name):
                    if refused is not None:
                        self._tree.renamed.add(image_id)
                    return name
            except OSError as error:
                if error.errno in REFUSES_ALL:
                    raise
                refused = error
        if refused is None:
            raise _NotPlaced(NO_FREE_NAME)
        self._see_that_others_can_be_placed()
        raise _NotPlaced(refused.strerror or str(refused))

    def _see_that_others_can_be_placed(self) -> None:
        """Write a file: where that cannot be done, it is not one picture that is at fault."""
        probe = unfinished()
        self._annotated.write(probe, b"1")
        self._annotated.unlink(probe)

    def _linked(self, key: str, name: str) -> bool:
        """Link under a name; False where somebody has it."""
        if self._record.is_taken(name):
            return False
        try:
            place(self._objects, key, self._annotated, name, replace=False)
        except FileExistsError:
            # A run that died between link and record left our own link behind.
            found, drawn = self._annotated.status(name), self._objects.status(key)
            return found is not None and drawn is not None and os.path.samestat(found, drawn)
        except Linked as refused:
            self._tree.links.add(self._tree.annotated / refused.link)
            return False
        except NotADirectoryError:
            return False
        return True

    def _replaced(self, key: str, name: str) -> bool:
        """Replace an older result; False where a link, or something else, has its place now, or
        the disk that OUT lies on by now refuses its name."""
        try:
            place(self._objects, key, self._annotated, name, replace=True)
        except Linked as refused:
            self._tree.links.add(self._tree.annotated / refused.link)
            return False
        except OSError as error:
            if error.errno in REFUSES_ALL:
                raise
            return False
        return True

    def _remove(self, known: Place) -> bool:
        with suppress(Linked):
            self._annotated.unlink(known.target)
        self._record.drop(known.source)
        return True


def forget_result(annotated: Path, record: Record, object_key: str) -> int:
    """Delete from the tree and the record what was made of an object; how many files.

    Its sidecars go too, whoever changed them since: they say who is in a forgotten picture. What is
    behind a link that was put there since is not ours.
    """
    removed = 0
    places = record.places_of(object_key)
    with ExitStack() as opened:
        tree: Folder | None = None
        with suppress(FileNotFoundError):
            tree = opened.enter_context(Folder.open(annotated, link=False))
        for found in places:
            sidecars = record.sidecars_of(found.target)
            for name in (found.target, *sidecars):
                with suppress(Linked):
                    removed += tree is not None and tree.unlink(name)
            for name in sidecars:
                record.drop_sidecar(name)
            record.drop(found.source)
            if tree is not None:
                _drop_empty(tree, found.target)
    return removed


def _drop_empty(tree: Folder, name: str) -> None:
    """Folders' names are of the forgotten too: empty ones go, up to the tree itself."""
    for folder in PurePosixPath(name).parents:
        if str(folder) == "." or not tree.remove_empty(str(folder)):
            return
