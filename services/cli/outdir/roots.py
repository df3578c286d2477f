"""The paths that a run was given, and where below OUT/annotated each one's pictures go."""

import hashlib
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from urllib.parse import unquote_to_bytes


class Roots:
    """A folder that was given alone lies at the top; of several, each in a folder of its name."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self._roots: list[tuple[bytes, bytes]] = []
        taken: set[bytes] = set()
        alone = len(paths) == 1
        for path in paths:
            whole = os.path.realpath(os.fsencode(path))  # as ingest names what it finds
            folder = b""
            if path.is_dir() and not alone:
                named = b"" if path.name == ".." else os.fsencode(path.name)
                folder = named or _last(whole) or b"root"
                if folder in taken:
                    folder += b"-" + hashlib.sha256(whole).hexdigest()[:8].encode()
                taken.add(folder)
            self._roots.append((whole, folder))

    def known(self) -> list[tuple[bytes, bytes]]:
        """Each path, and the folder of its pictures."""
        return list(self._roots)

    def recall(self, known: Iterable[tuple[bytes, bytes]]) -> None:
        """Take over the paths of earlier runs; of two that fit, the longer one counts."""
        self._roots = sorted(known, key=lambda root: len(root[0]), reverse=True)

    def relative(self, source_uri: str) -> bytes:
        """Path of a source below OUT/annotated, before it is made safe."""
        path = unquote_to_bytes(source_uri.removeprefix("file://"))
        for root, folder in self._roots:
            if path == root:
                return _last(path)
            if path.startswith(root.rstrip(b"/") + b"/"):
                inside = path[len(root.rstrip(b"/")) + 1 :]
                return folder + b"/" + inside if folder else inside
        return _last(path)


def _last(path: bytes) -> bytes:
    return path.rpartition(b"/")[2]
