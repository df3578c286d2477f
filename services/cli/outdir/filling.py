"""What a run puts into OUT beside the catalog: the mirrored tree, and originals that are done."""

import asyncio
import os
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path, PurePosixPath
from urllib.parse import unquote_to_bytes

import structlog

from services.cli.local.plan import Plan
from services.cli.outdir.names import with_id
from services.cli.outdir.placing import take
from services.cli.outdir.record import Record
from services.cli.outdir.roots import Roots
from services.cli.outdir.tree import Tree
from shared.catalog import Catalog, Member
from shared.folder import Folder, Linked
from shared.identity import file_version, reference_id
from shared.messages import Status

PAGE = 250
"""Images read at a time: each look reads at most one page that holds none that has ended."""

log = structlog.get_logger()


class Filling:
    """Follows the ended images of a submission, each once, as they end."""

    def __init__(self, plan: Plan, catalog: Catalog, submission: str) -> None:
        self._catalog = catalog
        self._submission = submission
        self._roots = Roots(plan.paths)
        self._done_dir = plan.done_dir
        self._opened = ExitStack()
        self._tree: Tree | None = None
        if plan.objects is not None:
            record = self._opened.enter_context(Record.open(Record.file(plan.out)))
            self._tree = Tree(plan.out / "annotated", plan.objects, record, self._roots)
            if plan.again is None:
                self._tree.remember_roots()
            else:
                self._tree.recall_roots(own_recipe=plan.again.recipe is None)
        self._told: set[Path] = set()
        self._after = 0
        self._seen: set[int] = set()

    async def follow(self) -> None:
        """Place what has ended since the last call.

        Images end nearly in the order in which they were named: what lies behind the first that
        has not ended is read again at the next call, until a page holds nothing that ended.
        """
        after, unbroken = self._after, True
        while page := await self._catalog.reader.members(self._submission, after, PAGE):
            ended = [member for member in page if member.status is not Status.QUEUED]
            fresh = [member for member in ended if member.key not in self._seen]
            await asyncio.to_thread(self._take, fresh)
            self._seen.update(member.key for member in fresh)
            for member in page:
                unbroken = unbroken and member.status is not Status.QUEUED
                if unbroken:
                    self._after = member.key
                    self._seen.discard(member.key)
            if not ended:
                return
            after = page[-1].key

    def notes(self) -> list[str]:
        """What people should know and were not told yet."""
        links = sorted((self._tree.links if self._tree is not None else set()) - self._told)
        self._told.update(links)
        return [
            f"{link} is a symbolic link, which is not followed: its pictures lie in "
            f"{link.parent} under names with their ids"
            for link in links
        ]

    def close(self) -> None:
        """Close the record of OUT."""
        self._opened.close()

    def _take(self, members: Sequence[Member]) -> None:
        if self._tree is not None:
            self._tree.place(members)
        if self._done_dir is not None:
            for member in members:
                if member.status is not Status.FAILED and member.source_uri is not None:
                    move_done(member.source_uri, member.id, self._roots, self._done_dir)


def move_done(source_uri: str, image_id: str, roots: Roots, done_dir: Path) -> bool:
    """Move an original below `done_dir`, under its relative path; whether it was moved.

    A file that changed since it was searched stays where it is, and nothing is ever overwritten.
    """
    path = Path(os.fsdecode(unquote_to_bytes(source_uri.removeprefix("file://"))))
    try:
        status = path.stat()
    except OSError:
        return False  # moved by an earlier run, or gone
    if reference_id(source_uri, file_version(status.st_size, status.st_mtime_ns)) != image_id:
        log.warning("changed since it was searched, so not moved", image=image_id)
        return False
    name = PurePosixPath(os.fsdecode(roots.relative(source_uri)))
    with Folder.open(done_dir, make=True) as done:
        for candidate in (name, with_id(name, image_id)):
            try:
                take(path, done, str(candidate))
            except FileExistsError:
                continue
            except (Linked, ValueError):  # or a name that leads out
                log.warning("not moved: its folder there is a link", image=image_id)
                return False
            return True
    log.warning("not moved: its place is taken", image=image_id)
    return False
