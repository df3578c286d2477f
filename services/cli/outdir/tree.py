"""`OUT/annotated/`: results under their pictures' own names, as a mirror of the input folders.

A result is a hard link to its object (a reflink or a copy where that is not possible). The record
says what lies where, so that placing is idempotent, a newer result replaces its older one, and two
different pictures never share a name. No link below `annotated` or `objects` is followed: pictures
whose folder is one lie beside it, and `links` says so.
"""

import os
from collections.abc import Iterable
from contextlib import ExitStack, suppress
from pathlib import Path, PurePosixPath

import structlog

from services.cli.outdir.names import result_path, with_id
from services.cli.outdir.placing import place
from services.cli.outdir.record import Place, Record
from services.cli.outdir.roots import Roots
from shared.catalog import Member
from shared.folders.folder import Folder
from shared.folders.steps import Linked
from shared.picture_keys import PictureKeys

log = structlog.get_logger()


class Tree:
    """The mirrored tree in `annotated`, of objects in a folder `objects`; for one run at a time."""

    def __init__(self, annotated: Path, objects: Path, record: Record, roots: Roots) -> None:
        self.annotated = annotated
        self.objects = Path(os.path.realpath(objects))  # which may be a link; but not from now on
        self.roots = roots
        self._record = record
        self.own_recipe = False
        self.links: set[Path] = set()
        """Links that were met where a folder should be; nothing was read or written behind them."""

    def remember_roots(self) -> None:
        """Note this run's paths, for whoever does some of its pictures again."""
        self._record.keep_roots(self.roots.known())

    def recall_roots(self, *, own_recipe: bool) -> None:
        """Name pictures as the earlier runs did that first found them.

        With `own_recipe` a result only replaces one of its own recipe, and not a newer one's.
        """
        self.own_recipe = own_recipe
        self.roots.recall(self._record.roots())

    def place(self, members: Iterable[Member]) -> int:
        """Give the result of each ended picture its name; how many changed.

        One without an annotated picture loses the result that it had. Those without a source (sent
        along with their bytes) have no name here. Doing it again costs a look-up each.

        Raises:
            OSError: the disk is full or the folder cannot be written.
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


class _Placing:
    """The tree while its folders are open."""

    def __init__(self, tree: Tree, record: Record, annotated: Folder, objects: Folder) -> None:
        self._tree = tree
        self._record = record
        self._annotated = annotated
        self._objects = objects

    def place(self, member: Member, source: str) -> bool:
        """Give one result its name; whether anything changed."""
        known = self._record.place(source)
        if self._tree.own_recipe and known and not known.object.startswith(f"{member.recipe}/"):
            return False
        if member.annotated_uri is None:
            return known is not None and self._remove(known)
        key = PictureKeys(member.recipe, member.id).annotated
        if not self._objects.is_file(key):
            log.warning("an annotated picture is gone", image=member.id, object=key)
            return False
        if known is not None:
            if known.object == key and self._annotated.is_file(known.target):
                return False
            if self._replaced(key, known.target):
                self._record.keep(Place(source, known.target, key))
                return True
            self._record.drop(source)
        self._record.keep(Place(source, self._link_new(key, source, member.id), key))
        return True

    def _link_new(self, key: str, source: str, image_id: str) -> str:
        """Link under the first fitting name that nobody has; that name."""
        relative = result_path(self._tree.roots.relative(source), image_id)
        flat = PurePosixPath(relative.name)  # where a folder's name is taken by a file or a link
        for candidate in (
            relative,
            with_id(relative, image_id),
            with_id(flat, image_id),
            with_id(flat, image_id + image_id[8:]),
        ):
            if self._linked(key, str(candidate)):
                return str(candidate)
        raise FileExistsError(f"{self._tree.annotated / relative}: another file has this name")

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
        """Replace an older result; False where a link, or something else, has its place now."""
        try:
            place(self._objects, key, self._annotated, name, replace=True)
        except Linked as refused:
            self._tree.links.add(self._tree.annotated / refused.link)
            return False
        except (NotADirectoryError, IsADirectoryError):
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
