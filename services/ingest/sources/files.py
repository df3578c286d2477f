"""Files and folders by reference: named here, opened by the detectors."""

import os
import stat
from collections import OrderedDict
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from services.ingest.sources.source import (
    STEP,
    FoundImage,
    Listing,
    ReferenceSource,
    SourceAway,
    SourceRefused,
)
from services.ingest.sources.walk import EXCLUDED, Visited, Walk, unreadable
from shared.catalog import PassedOver
from shared.errors import Unreachable
from shared.folders.paths import led_to
from shared.folders.patterns import Choice
from shared.identity import display_name, file_version, reference_id
from shared.media import why_not_read
from shared.messages import SourceMessage
from shared.reasons import Failure, Reason
from shared.references import FILES, allowed_by
from shared.stores.mounts import MountedFolder, folders_of
from shared.stores.patience import SignOfLife, in_thread, while_alive
from shared.urls import file_path, file_uri

_KNOWN_BY_NAME = (Reason.NOT_ALLOWED, Reason.UNSUPPORTED)
"""Refusals that say nothing about whether a volume is there."""

WALKS_KEPT = 16
"""Walks that stay open between their steps; others are resumed from their position."""


class FileSource(ReferenceSource):
    """A file, or the pictures below a folder."""

    scheme = FILES

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(allowed)
        self._holds = folders_of(self._allowed)
        self._alive = {folder: _alive(folder) for folder in self._holds.values()}
        self._walks: OrderedDict[tuple[str, int], Walk] = OrderedDict()

    def needs(self, message: SourceMessage) -> str:
        """The allowed folder that it is in: that may be a volume, which may be away."""
        return self._holds.get(allowed_by(message.uri or "", self._allowed) or "", "")

    async def step(self, message: SourceMessage) -> Listing:
        """The next files, found in a thread: a folder may be large or its disk slow, and takes as
        long as it needs while its volume answers. That is asked first: on one that hangs, each
        step would leave its thread hung for good."""
        root = self.needs(message)
        look = partial(in_thread, partial(self._step, message))
        if not root:  # outside of all of them, or a link into one
            return await look()
        alive = self._alive[root]
        try:
            await alive.lately()
            with suppress(SourceRefused):
                listing = await while_alive(look(), alive)
                if listing.images and not any(map(_may_be_back, listing.images)):
                    return listing
            await alive()  # or what is missing is only not mounted
            return await while_alive(look(), alive)  # and by now it may be
        except Unreachable as error:
            raise SourceAway(root, str(error), alive) from None

    def _step(self, message: SourceMessage) -> Listing:
        path = _path_of(message.uri or "")
        try:
            root, status = led_to(path)
        except OSError as error:
            root = os.path.realpath(path)
            self.check_allowed(file_uri(root), display_name(path))
            failure = unreadable(error, display_name(root))
            raise SourceRefused(failure.reason, failure.sentence) from None
        self.check_allowed(file_uri(root), display_name(path))
        if not stat.S_ISDIR(status.st_mode):
            name = os.path.basename(root)
            if not Choice(message.exclude, message.include).takes(name):
                return Listing([], None, {EXCLUDED: PassedOver(1)})
            return Listing([_found(root, name, status)], None)
        return self._walk_on(message, root)

    def _walk_on(self, message: SourceMessage, root: bytes) -> Listing:
        key = (message.submission, message.part)
        position = unquote_to_bytes(message.position)
        walk = self._walks.pop(key, None)
        if walk is not None and walk.position != position == walk.began:
            walk.step_back()  # it is looked at once more
        if walk is None or walk.position != position:
            excluded = frozenset(
                os.path.relpath(os.path.realpath(_path_of(uri)), root) for uri in message.excluded
            )
            walk = Walk(
                root,
                position,
                excluded,
                may_read=self._may_read,
                follow_links=message.follow_links,
                choice=Choice(message.exclude, message.include),
            )
        before = walk.passed_over.copy()
        visits = walk.take(STEP)
        images = [_visited(root, visit) for visit in visits]
        passed_over = {
            kind: PassedOver(number, walk.examples.get(kind, ""))
            for kind, number in (walk.passed_over - before).items()
        }
        if len(visits) < STEP:
            return Listing(images, None, passed_over)
        self._walks[key] = walk
        while len(self._walks) > WALKS_KEPT:
            self._walks.popitem(last=False)
        return Listing(images, quote_from_bytes(walk.position), passed_over)

    def _may_read(self, path: bytes) -> bool:
        return allowed_by(file_uri(path), self._allowed) is not None


def _alive(root: str) -> SignOfLife:
    """How an allowed folder is asked for a sign of life."""
    folder = MountedFolder(Path(os.fsdecode(file_path(root))))
    return SignOfLife(
        partial(in_thread, folder.see), f"{FILES.setting}: {folder.folder} does not answer"
    )


def _path_of(uri: str) -> bytes:
    try:
        return file_path(uri)
    except ValueError as error:
        raise SourceRefused(Reason.NOT_A_FILE, str(error)) from None


def _visited(root: bytes, visit: Visited) -> FoundImage:
    path = os.path.join(root, visit.path)
    if visit.status is None:
        return _refused(path, visit.path, visit.problem)
    return _found(path, visit.path, visit.status)


def _found(path: bytes, relative: bytes, status: os.stat_result) -> FoundImage:
    uri = file_uri(path)
    version = file_version(status.st_size, status.st_mtime_ns)
    return FoundImage(
        id=reference_id(uri, version),
        name=display_name(relative),
        source_uri=uri,
        source_version=version,
        bytes=status.st_size,
        problem=why_not_read(os.path.basename(path)),
    )


def _refused(path: bytes, relative: bytes, problem: Failure | None) -> FoundImage:
    uri = file_uri(path)
    return FoundImage(
        id=reference_id(uri, ""), name=display_name(relative), source_uri=uri, problem=problem
    )


def _may_be_back(image: FoundImage) -> bool:
    """Whether what could not be read may be only not mounted."""
    return image.problem is not None and image.problem.reason not in _KNOWN_BY_NAME
