"""What a run puts into OUT beside the catalog: the mirrored tree, and originals that are done."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from services.cli.local.plan import Plan
from services.cli.outdir.done import DoneDir
from services.cli.outdir.record import Record
from services.cli.outdir.roots import Roots
from services.cli.outdir.tree import Tree
from shared.catalog import Catalog, Member
from shared.messages import Status

PAGE = 250
"""Images read at a time: each look reads at most one page that holds none that has ended."""


@dataclass(frozen=True)
class Placed:
    """Of the results in OUT/annotated: how many got another name, were changed by others, or
    replaced one that hid faces; and how many there are not, by the reason."""

    renamed: int = 0
    changed: int = 0
    uncovered: int = 0
    refused: Mapping[str, int] = field(default_factory=dict)


class Filling:
    """Follows the ended images of a submission, each once, as they end."""

    def __init__(
        self, plan: Plan, catalog: Catalog, submission: str, hiding: Collection[str] = ()
    ) -> None:
        """`hiding`: the ids of recipes whose pictures show no face."""
        self._catalog = catalog
        self._submission = submission
        self._roots = Roots(plan.paths)
        self._done_dir = DoneDir(plan.done_dir, self._roots) if plan.done_dir else None
        self._opened = ExitStack()
        self._tree: Tree | None = None
        if plan.objects is not None:
            record = self._opened.enter_context(Record.open(Record.file(plan.out)))
            self._tree = Tree(
                plan.out / "annotated", plan.objects, record, self._roots, frozenset(hiding)
            )
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

    def damaged(self) -> list[Member]:
        """Take what has to be searched again, each once, since its object is gone or empty.

        Their places are looked at anew once they have ended again.
        """
        if self._tree is None:
            return []
        found = self._tree.again()
        if found:
            self._after = min(self._after, *(member.key - 1 for member in found))
            self._seen.difference_update(member.key for member in found)
        return found

    def notes(self) -> list[str]:
        """What people should know and were not told yet."""
        links = sorted((self._tree.links if self._tree is not None else set()) - self._told)
        self._told.update(links)
        return [
            f"{link} is a symbolic link, which is not followed: its pictures lie in "
            f"{link.parent} under names with their ids"
            for link in links
        ]

    @property
    def placed(self) -> "Placed":
        """What people should know of OUT/annotated."""
        tree = self._tree
        if tree is None:
            return Placed()
        return Placed(
            len(tree.renamed), len(tree.changed), len(tree.uncovered), dict(tree.refusals)
        )

    @property
    def not_moved(self) -> list[str]:
        """A line on each reason for which originals that are done stayed where they are."""
        return self._done_dir.not_moved if self._done_dir is not None else []

    def close(self) -> None:
        """Close the record of OUT."""
        self._opened.close()

    def _take(self, members: Sequence[Member]) -> None:
        if self._tree is not None:
            self._tree.place(members)
        if self._done_dir is not None:
            to_search = self._tree.damaged if self._tree is not None else {}
            for member in members:
                if member.id in to_search:
                    continue  # its original is read once more
                if member.status is not Status.FAILED and member.source_uri is not None:
                    self._done_dir.move(member.source_uri, member.id)
