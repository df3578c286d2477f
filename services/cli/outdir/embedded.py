"""Regions written into originals themselves, and a picture that stays the one that it was.

A file that is written is another version of it. The catalog is told before that this version is
the same picture, so that no later run searches it again, whenever this program is killed.
"""

import errno
import os
import stat
from collections import Counter
from collections.abc import Callable, Sequence
from enum import Enum

from services.cli.formats.embedding import NotEmbeddable, holder_of
from services.cli.formats.xmp_merging import NotMergeable, Region, merge
from services.cli.outdir.originals import Original, replace_original, version_of
from services.cli.outdir.record import Beside, Record
from shared.catalog import ImageRow, Ledger
from shared.folders.folder import Folder
from shared.identity import file_version

FILE_BYTES = 256 << 20
"""Larger files get a sidecar: a file is held in memory twice while it is written."""


class Outcome(Enum):
    """What became of one original."""

    WRITTEN = "written"
    SAME = "same"
    NOT_HERE = "not here"


def is_embedded(noted: Beside | None, original: Original) -> bool:
    """Whether a note is of the original itself, and of no file beside it."""
    return noted is not None and noted.name == original.relative.name


class Embedder:
    """Writes regions into originals, for whoever holds OUT's lock."""

    def __init__(self, ledger: Ledger, record: Record, instead: Counter[str]) -> None:
        """`instead` gets the reasons why originals get a sidecar."""
        self._ledger = ledger
        self.record = record
        self._instead = instead

    async def put(
        self,
        row: ImageRow,
        original: Original,
        folder: Folder,
        regions: Sequence[Region],
        size: tuple[int, int],
        leave: Callable[[], None],
    ) -> Outcome:
        """Put regions into an original; `size` of its stored pixels.

        `leave` takes them out of where they were before, once the original is sure to take them.

        Raises:
            OSError: it cannot be written, or has just been changed; it is as it was.
        """
        assert row.source_uri is not None
        found = folder.status(str(original.relative))
        if found is None or not await self._is_searched(row, found):
            return Outcome.NOT_HERE  # which is told of the sidecar
        try:
            content, before = _read(folder, original)
            after = _changed(content, regions, size)
        except (NotEmbeddable, NotMergeable) as why:
            self._instead[str(why)] += 1
            return Outcome.NOT_HERE
        if after is not content:
            version = file_version(len(after), before.st_mtime_ns)
            await self._ledger.expect_version(row.id, row.source_uri, version)
        leave()
        self.record.keep_beside(row.source_uri, original.relative.name, made=False)
        if after is not content:
            before = replace_original(folder, str(original.relative), after, before)
        if version_of(before) != row.source_version:
            await self._ledger.set_version(row.id, version_of(before), before.st_size)
        return Outcome.SAME if after is content else Outcome.WRITTEN

    async def _is_searched(self, row: ImageRow, found: os.stat_result) -> bool:
        """Whether a file is what a row says; one that was killed here had not said so yet."""
        version = version_of(found)
        if not stat.S_ISREG(found.st_mode):
            return False
        if version == row.source_version:
            return True
        return await self._ledger.is_picture(row.id, row.source_uri or "", version)


def take_out(folder: Folder, original: Original) -> bool:
    """Take our regions out of an original; whether there were any.

    Raises:
        OSError: it cannot be written, or safely.
    """
    if folder.status(str(original.relative)) is None:
        return False
    try:
        content, before = _read(folder, original)
        after = _changed(content, [], (1, 1))
    except (NotEmbeddable, NotMergeable) as why:
        raise OSError(errno.EINVAL, str(why)) from None
    if after is not content:
        replace_original(folder, str(original.relative), after, before)
    return after is not content


def _read(folder: Folder, original: Original) -> tuple[bytes, os.stat_result]:
    with os.fdopen(folder.open_file(str(original.relative)), "rb") as file:
        status = os.fstat(file.fileno())
        if status.st_nlink > 1:
            raise NotEmbeddable("the file has several names (hard links)")
        if status.st_size > FILE_BYTES:
            raise NotEmbeddable(f"the file has more than {FILE_BYTES >> 20} MiB")
        return file.read(FILE_BYTES + 1), status


def _changed(content: bytes, regions: Sequence[Region], size: tuple[int, int]) -> bytes:
    """A file with these regions; `content` itself where it says all this already."""
    holder = holder_of(content)
    place = holder.find(content)
    if place.packet is None and not regions:
        return content
    merged = merge(place.packet, regions, size)
    if merged.content is place.packet:
        return content
    return holder.put(content, place, None if merged.empty else merged.content)
