"""Files and folders by reference: named here, opened by the detectors."""

import asyncio
import os
import stat
from collections import OrderedDict
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote_from_bytes, unquote_to_bytes

from services.ingest.sources.source import STEP, FoundImage, SourceRefused, Step
from services.ingest.sources.walk import Visited, Walk
from shared.identity import display_name, file_uri, file_version, reference_id
from shared.messages import SourceMessage

WALKS_KEPT = 16
"""Walks that stay open between their steps; others are resumed from their position."""


class FileSource:
    """A file, or the pictures below a folder, under one of the allowed roots."""

    def __init__(self, roots: Sequence[Path]) -> None:
        self._roots = [os.fsencode(root) for root in roots]
        self._walks: OrderedDict[tuple[str, int], Walk] = OrderedDict()

    async def step(self, message: SourceMessage) -> Step:
        """The next files, off the event loop: a folder may be large or its disk slow."""
        return await asyncio.to_thread(self._step, message)

    def _step(self, message: SourceMessage) -> Step:
        root = self._allowed(path_of(message.uri or ""))
        try:
            is_folder = stat.S_ISDIR(os.stat(root).st_mode)
        except OSError as error:
            raise SourceRefused(f"{display_name(root)}: {error.strerror or error}") from None
        if not is_folder:
            return Step((_found(root, os.path.basename(root)),), None)
        return self._walk_on(message, root)

    def _walk_on(self, message: SourceMessage, root: bytes) -> Step:
        key = (message.submission, message.part)
        position = unquote_to_bytes(message.position)
        walk = self._walks.pop(key, None)
        if walk is None or walk.position != position:
            excluded = frozenset(
                os.path.relpath(os.path.realpath(path_of(uri)), root) for uri in message.excluded
            )
            walk = Walk(root, position, excluded)
        visits = walk.take(STEP)
        found = tuple(_visited(root, visit) for visit in visits)
        if len(visits) < STEP:
            return Step(found, None)
        self._walks[key] = walk
        while len(self._walks) > WALKS_KEPT:
            self._walks.popitem(last=False)
        return Step(found, quote_from_bytes(walk.position))

    def _allowed(self, path: bytes) -> bytes:
        real = os.path.realpath(path)
        for root in self._roots:
            if real == root or real.startswith(root.rstrip(b"/") + b"/"):
                return real
        raise SourceRefused(
            f"{display_name(path)} is not below a folder of FACES_SOURCE_ROOTS; "
            "add its folder there, or send the bytes with `faces submit` without --by-reference"
        )


def path_of(uri: str) -> bytes:
    """The path of a `file://` URI, as bytes.

    Raises:
        SourceRefused: it is no such URI.
    """
    scheme = "file://"
    if not uri.startswith(scheme + "/"):
        raise SourceRefused(
            f"{uri[:200]!r} is not a file:/// URI, and other kinds are not opened by reference"
        )
    path = unquote_to_bytes(uri[len(scheme) :])
    if b"\0" in path:
        raise SourceRefused("a path with a NUL byte in it names no file")
    return path


def _visited(root: bytes, visit: Visited) -> FoundImage:
    path = os.path.join(root, visit.path)
    if visit.problem:
        return _refused(path, visit.path, visit.problem)
    return _found(path, visit.path)


def _found(path: bytes, relative: bytes) -> FoundImage:
    try:
        status = os.stat(path)
    except OSError as error:
        return _refused(path, relative, f"cannot be read: {error.strerror or error}")
    uri = file_uri(path)
    version = file_version(status.st_size, status.st_mtime_ns)
    return FoundImage(
        id=reference_id(uri, version),
        name=display_name(relative),
        uri=uri,
        version=version,
        size=status.st_size,
    )


def _refused(path: bytes, relative: bytes, problem: str) -> FoundImage:
    uri = file_uri(path)
    return FoundImage(
        id=reference_id(uri, ""), name=display_name(relative), uri=uri, problem=problem
    )
