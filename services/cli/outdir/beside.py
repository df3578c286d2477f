"""Sidecars beside the originals: face regions as photo managers look for them, merged into theirs.

`me.jpg` gets `me.jpg.xmp`. Where `me.xmp` is there instead, and no other file that it could be of
(`me.cr2`), that one is used. Only originals below what runs of this OUT were given are written
beside, in the version that was searched; no link below is followed.
"""

import os
import stat
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from services.cli.formats.turning import Box, stored_box, stored_size
from services.cli.formats.within import row_within
from services.cli.formats.xmp_merging import PACKET_BYTES, NotMergeable, Region, merge
from services.cli.outdir.embedded import Embedder, Outcome, is_embedded, take_out
from services.cli.outdir.originals import Original, Originals
from services.cli.outdir.record import Record
from shared.catalog import Catalog, Filter, ImageRow
from shared.folders.folder import Folder
from shared.folders.steps import Linked
from shared.identity import file_version
from shared.messages import Kind, Status
from shared.printing import count, printable

FORM = "xmp"
"""The one form that lies beside originals: a `.json` there may be another program's own."""

REASONS_SHOWN = 5


def beside_before(out: Path) -> bool:
    """Whether earlier commands wrote sidecars beside originals: these are kept right."""
    if not Record.file(out).is_file():
        return False
    with Record.open(Record.file(out)) as record:
        return record.has_beside()


@dataclass
class Report:
    """What became of the sidecars: how many, and what to tell of those that are not there."""

    written: int = 0
    same: int = 0
    unturned: int = 0
    changed: int = 0
    documents: int = 0
    elsewhere: int = 0
    embedded: int = 0
    embedded_same: int = 0
    instead: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)

    def lines(self) -> Iterator[str]:
        """For people; the first is always there."""
        number = count(self.written, "sidecar")
        yield f"{number} beside originals written, {self.same:,} up to date"
        if self.embedded or self.embedded_same:
            yield (
                f"regions written into {count(self.embedded, 'original')}, "
                f"{self.embedded_same:,} up to date"
            )
        for why, number_of in self.instead.most_common():
            yield f"a sidecar instead, {count(number_of, 'picture')}: {why}"
        if self.unturned:
            yield (
                f"{count(self.unturned, 'picture')} searched by an older version, which did not "
                "keep how the file is turned: no sidecar; `faces redo` searches them again"
            )
        if self.changed:
            yield (
                f"{count(self.changed, 'original')} changed or gone since the search: no sidecar; "
                "the same `faces run` again searches what changed"
            )
        if self.documents:
            yield (
                f"{count(self.documents, 'document or animation', 'documents or animations')}: "
                + ("no sidecar, since regions have no page")
            )
        if self.elsewhere:
            yield (
                f"{count(self.elsewhere, 'picture')} not below what the runs of this OUT were "
                "given: no sidecar"
            )
        for why, number_of in self.refused.most_common(REASONS_SHOWN):
            more = f" and {number_of - 1:,} more" if number_of > 1 else ""
            yield f"no sidecar: {why}{more}"
        if len(self.refused) > REASONS_SHOWN:
            yield f"no sidecar for {len(self.refused) - REASONS_SHOWN:,} reasons more"


async def write_beside(
    out: Path, catalog: Catalog, filter_: Filter, *, embed: bool = False
) -> Report:
    """Write the sidecars of a filter's originals; who calls holds OUT's lock.

    With `embed` regions are written into originals that can hold them. Those that hold some
    already are kept right without it, too.
    """
    report = Report()
    with Record.open(Record.file(out)) as record:
        originals = Originals([path for path, _ in record.roots()])
        embedder = Embedder(catalog.ledger, record, report.instead)
        async for row in _searched(catalog, filter_):
            if not await _embed(row, originals, embedder, report, embed=embed):
                _take(row, originals, record, report)
    return report


async def _embed(
    row: ImageRow, originals: Originals, embedder: Embedder, report: Report, *, embed: bool
) -> bool:
    """Whether the original holds its regions; else they belong into a sidecar."""
    original = originals.find(row.source_uri or "")
    if original is None or not (row.orientation and row.width and row.height):
        return False
    noted = embedder.record.beside_of(row.source_uri or "")
    inside = is_embedded(noted, original)
    if row.kind != Kind.PICTURE or not (inside or (embed and row.faces)):
        return False
    size = stored_size(row.width, row.height, row.orientation)
    try:
        with original.opened() as folder:
            made = inside or (noted is not None and noted.made)
            if not made and folder.status(_sidecar_name(folder, original)) is not None:
                report.instead["another program's sidecar is there"] += 1
                return False

            def leave() -> None:
                if noted is not None and not inside:
                    _clear(folder, original.sidecar(noted.name), made=noted.made)

            outcome = await embedder.put(row, original, folder, regions_of(row), size, leave)
    except Linked:
        return False  # which is told of the sidecar
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or str(error)
        report.refused[f"{printable(row.name)}: {what}"] += 1
        return True
    report.embedded += outcome is Outcome.WRITTEN
    report.embedded_same += outcome is Outcome.SAME
    return outcome is not Outcome.NOT_HERE


def forget_beside(record: Record, source: str) -> bool:
    """Take our regions out of a source or of its sidecar, which is deleted if that is all there is.

    Regions that a person gave a name are that person's and stay. Returns whether anything changed.

    Raises:
        OSError: the folder cannot be written.
    """
    noted = record.beside_of(source)
    original = Originals([path for path, _ in record.roots()]).find(source)
    changed = False
    if noted is not None and original is not None:
        with original.opened() as folder:
            if is_embedded(noted, original):
                changed = take_out(folder, original)
            else:
                changed = _clear(folder, original.sidecar(noted.name), made=noted.made)
    record.drop_beside(source)
    return changed


async def _searched(catalog: Catalog, filter_: Filter) -> AsyncIterator[ImageRow]:
    async for row in catalog.reader.results(filter_):
        if row.status in (Status.FACES, Status.NO_FACES) and row.current:
            yield row


def _take(row: ImageRow, originals: Originals, record: Record, report: Report) -> None:
    """Write the sidecar of one original; what is refused of one holds up no other."""
    if row.source_uri is None:
        report.elsewhere += 1
        return
    noted = record.beside_of(row.source_uri)
    if not row.faces and noted is None:
        return
    if row.kind != Kind.PICTURE:
        report.documents += 1
        return
    if not (row.orientation and row.width and row.height):
        report.unturned += 1
        return
    original = originals.find(row.source_uri)
    if original is None:
        report.elsewhere += 1
        return
    try:
        with original.opened() as folder:
            _write(row, original, folder, record, report)
    except NotMergeable as why:
        report.refused[f"{printable(row.name)}: {why}; it is left alone"] += 1
    except Linked as link:
        report.refused[f"{printable(link.link)} is a link, which is not followed"] += 1
    except (OSError, ValueError) as error:
        what = getattr(error, "strerror", None) or str(error)
        report.refused[f"the folder of {printable(row.name)}: {what}"] += 1


def _write(
    row: ImageRow, original: Original, folder: Folder, record: Record, report: Report
) -> None:
    assert row.source_uri and row.orientation and row.width and row.height
    found = folder.status(str(original.relative))
    if found is None or file_version(found.st_size, found.st_mtime_ns) != row.source_version:
        report.changed += 1
        return
    name = _sidecar_name(folder, original)
    there, status = _read(folder, name)
    size = stored_size(row.width, row.height, row.orientation)
    merged = merge(there, regions_of(row), size)
    noted = record.beside_of(row.source_uri)
    made = there is None or (noted is not None and noted.made)
    if merged.content is there:
        report.same += 1
    elif merged.empty and made:
        folder.unlink(name)
        record.drop_beside(row.source_uri)
        report.written += there is not None
        return
    else:
        _replace(folder, name, merged.content, status)
        report.written += 1
    if noted is None or noted.name != PurePosixPath(name).name:
        record.keep_beside(row.source_uri, PurePosixPath(name).name, made=made)


def regions_of(row: ImageRow) -> list[Region]:
    """The faces of a row, cut at the edges of the picture and turned as the file stores it."""
    assert row.orientation and row.width and row.height
    regions = []
    for face in row_within(row).faces:
        if face.w and face.h:
            box = Box(
                (face.x + face.w / 2) / row.width,
                (face.y + face.h / 2) / row.height,
                face.w / row.width,
                face.h / row.height,
            )
            regions.append(Region(stored_box(box, row.orientation), face.score))
    return regions


def _sidecar_name(folder: Folder, original: Original) -> str:
    own = f"{original.relative}.{FORM}"
    short = str(original.relative.with_suffix(f".{FORM}"))
    if short == own or folder.status(own) is not None or folder.status(short) is None:
        return own
    return own if _shared(folder, original) else short


def _shared(folder: Folder, original: Original) -> bool:
    """Whether another file has the same name but for its extension, whose sidecar it may be."""
    above = str(original.relative.parent)
    with folder.below("" if above == "." else above) as within:
        listed = os.listdir(within.fileno())  # noqa: PTH208 - no path leads to an open folder
        names = [PurePosixPath(name) for name in listed]
    alike = [one for one in names if one.stem == original.relative.stem]
    return len([one for one in alike if one.suffix.lower() != f".{FORM}"]) > 1


def _read(folder: Folder, name: str) -> tuple[bytes | None, os.stat_result | None]:
    """A sidecar's content, as far as it is judged, and its status; None where there is none."""
    if folder.status(name) is None:
        return None, None
    with os.fdopen(folder.open_file(name), "rb") as file:
        return file.read(PACKET_BYTES + 1), os.fstat(file.fileno())


def _replace(folder: Folder, name: str, content: bytes, before: os.stat_result | None) -> None:
    """Write a sidecar whole, unless another program has written it since it was read."""
    now = folder.status(name)
    if _version(now) != _version(before):
        raise NotMergeable("another program has just written its sidecar")
    mode = 0o666 if before is None else stat.S_IMODE(before.st_mode)
    folder.write(name, content, mode=mode, on_disk=before is not None)


def _version(status: os.stat_result | None) -> tuple[int, int, int] | None:
    return None if status is None else (status.st_ino, status.st_size, status.st_mtime_ns)


def _clear(folder: Folder, name: str, *, made: bool) -> bool:
    there, status = _read(folder, name)
    if there is None:
        return False
    try:
        merged = merge(there, [], (1, 1))
        if merged.empty and made:
            return folder.unlink(name)
        if merged.content is there:
            return False
        _replace(folder, name, merged.content, status)
    except NotMergeable:  # it is no XMP any more, so that nothing in it is ours
        return False
    return True
