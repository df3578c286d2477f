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
from services.ingest.sources.walk import Visited, Walk, unreadable
from shared.errors import Unreachable
from shared.identity import display_name, file_version, reference_id
from shared.messages import SourceMessage
from shared.reasons import Failure, Reason
from shared.references import FILES
from shared.stores.mounts import MountedFolder
from shared.stores.patience import SignOfLife, in_thread, while_alive
from shared.urls import below, file_path, file_uri

WALKS_KEPT = 16
"""Walks that stay open between their steps; others are resumed from their position."""


class FileSource(ReferenceSource):
    """A file, or the pictures below a folder."""

    scheme = FILES

    def __init__(self, allowed: Sequence[str]) -> None:
        super().__init__(allowed)
        self._roots = {root: _alive(root) for root in allowed}
        self._walks: OrderedDict[tuple[str, int], Walk] = OrderedDict()

    def needs(self, message: SourceMessage) -> str:
        """The allowed folder that it is in: that may be a volume, which may be away."""
        uri = message.uri or ""
        return next((root for root in self._roots if below(uri, root)), "")

    async def step(self, message: SourceMessage) -> Listing:
        """The next files, found in a thread: a folder may be large or its disk slow, and takes as
        long as it needs while its volume answers. That is asked first: on one that hangs, each
        step would leave its thread hung for good."""
        root = self.needs(message)
        look = partial(in_thread, partial(self._step, message))
        if not root:  # outside of all of them, or a link into one
            return await look()
        alive = self._roots[root]
        try:
            await alive.lately()
            with suppress(SourceRefused):
                listing = await while_alive(look(), alive)
                if listing.images and not any(image.problem for image in listing.images):
                    return listing
            await alive()  # or what is missing is only not mounted
            return await while_alive(look(), alive)  # and by now it may be
        except Unreachable as error:
            raise SourceAway(root, str(error), alive) from None

    def _step(self, message: SourceMessage) -> Listing:
        path = _path_of(message.uri or "")
        root = os.path.realpath(path)
        self.check_allowed(file_uri(root), display_name(path))
        try:
            is_folder = stat.S_ISDIR(os.stat(root).st_mode)
        except OSError as error:
            failure = unreadable(error, display_name(root))
            raise SourceRefused(failure.reason, failure.sentence) from None
        if not is_folder:
            return Listing([_found(root, os.path.basename(root))], None)
        return self._walk_on(message, root)

    def _walk_on(self, message: SourceMessage, root: bytes) -> Listing:
        key = (message.submission, message.part)
        position = unquote_to_bytes(message.position)
        walk = self._walks.pop(key, None)
        if walk is None or walk.position != position:
            excluded = frozenset(
                os.path.relpath(os.path.realpath(_path_of(uri)), root) for uri in message.excluded
            )
            walk = Walk(root, position, excluded)
        visits = walk.take(STEP)
        images = [_visited(root, visit) for visit in visits]
        if len(visits) < STEP:
            return Listing(images, None)
        self._walks[key] = walk
        while len(self._walks) > WALKS_KEPT:
            self._walks.popitem(last=False)
        return Listing(images, quote_from_bytes(walk.position))


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
    if visit.problem:
        return _refused(path, visit.path, visit.problem)
    return _found(path, visit.path)


def _found(path: bytes, relative: bytes) -> FoundImage:
    try:
        status = os.stat(path)
    except OSError as error:
        return _refused(path, relative, unreadable(error, "cannot be read"))
    uri = file_uri(path)
    version = file_version(status.st_size, status.st_mtime_ns)
    return FoundImage(
        id=reference_id(uri, version),
        name=display_name(relative),
        source_uri=uri,
        source_version=version,
        bytes=status.st_size,
    )


def _refused(path: bytes, relative: bytes, problem: Failure) -> FoundImage:
    uri = file_uri(path)
    return FoundImage(
        id=reference_id(uri, ""), name=display_name(relative), source_uri=uri, problem=problem
    )
