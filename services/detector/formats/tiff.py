"""TIFF and BigTIFF, and their pages (TIFF revision 6.0; BigTIFF as in libtiff).

A page is an image file directory (IFD); each names the next. A page is read by pointing the head
of the file at its IFD: then every reader sees a file whose first page it is. Thumbnails and masks
are not pages, unless there is nothing else. A thumbnail may name its full picture as a directory
below it (SubIFDs, TIFF/EP, ISO 12234-2): that is a page.
"""

import io
import warnings
from collections.abc import Iterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING

from PIL import Image

from services.detector.failures import BadPicture
from services.detector.formats.costs import too_complex
from services.detector.formats.directories import (
    ENTRIES,
    Directory,
    Layout,
    layout_of,
    read_directory,
)
from services.detector.formats.exif import ORIENTATION, orientation_of
from services.detector.formats.format import Format, Header, Pages, StoredPage, begins, damaged
from services.detector.formats.pillow import decode_transparent, words
from services.detector.formats.tiff_pixels import decode, first_directory, is_cut
from services.detector.formats.tiff_variants import judge, variant_of
from services.detector.formats.tolerant import truncated
from services.detector.models.model import Pixels
from shared.messages import PAGES_COUNTED, PAGES_LIMIT

if TYPE_CHECKING:
    from _typeshed import WriteableBuffer

ENTRIES_IN_ALL = 100_000
"""Entries of the pages that are searched, 200 a page."""

VALUES_LIE_OVER = 2
"""How often the bytes of a file may be named by entries of one page, on average. Values have no
reason to lie over each other; a page of 65,535 entries could name the whole file by each."""

VALUES_IN_ALL = 1 << 30
"""Bytes that all pages that are searched may name, since each page's are read. Pages may share
what is in the file once, such as a profile."""

PIECES = 200_000
"""Strips or tiles of a page. Each is set up alone: 390,000 of 16 x 16 pixels took 4 s. Strips of
one row are common, tiles of fewer than 128 x 128 pixels are not."""

TILE_SIDE = 4096
"""Longest side of a tile that is larger than its picture: decoders hold a whole one."""

SAMPLES = 16
"""Samples of a pixel. Decoders hold all of them, and read at most four."""

SUB_DIRECTORIES = 16
"""Directories that a thumbnail names and that are looked at."""

THUMBNAILS = 64
"""Thumbnails whose directories below them are looked for; files that have any have one."""

_SUBFILE_TYPE, _SUB_IFDS, _REDUCED = 254, 330, 1
_WIDTH, _HEIGHT, _STRIPS, _SAMPLES, _TILE_WIDTH, _TILE_HEIGHT, _TILES = (
    256,
    257,
    273,
    277,
    322,
    323,
    324,
)
_METADATA = (34665, 34853)
"""Tags that name the directories of EXIF and of the place."""

_EXTRA_SAMPLES = 338
_ALPHA = (1, 2)
"""What an extra sample is: associated alpha (colours are multiplied by it), or unassociated."""

_NO_PAGE = 0b101
"""Bits of NewSubfileType: a reduced version of another page, a mask of another page."""


def _directories(content: bytes) -> Iterator[tuple[int, int]]:
    """The offset of each IFD, and its NewSubfileType; behind a thumbnail the full pictures below
    it. A chain that meets itself ends there."""
    layout = layout_of(content)
    seen: set[int] = set()
    thumbnails = 0
    offset = layout.number(content, layout.first, layout.offset)
    while 0 < offset <= len(content) - layout.count and offset not in seen:
        seen.add(offset)
        kind = _kind_at(content, layout, offset)
        yield offset, kind
        if kind & _REDUCED and thumbnails < THUMBNAILS:
            thumbnails += 1
            below = [one for one in _full_below(content, layout, offset) if one not in seen]
            seen.update(below)
            yield from ((one, 0) for one in dict.fromkeys(below))
        entries = layout.number(content, offset, layout.count)
        end = offset + layout.count + entries * layout.entry
        offset = layout.number(content, end, layout.offset)


def _kind_at(content: bytes, layout: Layout, offset: int) -> int:
    """The NewSubfileType of the IFD at an offset. Entries are sorted, and no tag in use is
    lower."""
    start = offset + layout.count
    if layout.number(content, start, 2) != _SUBFILE_TYPE:
        return 0
    return layout.number(content, start + layout.entry - layout.offset, 4)


def _full_below(content: bytes, layout: Layout, offset: int) -> list[int]:
    """The offsets of the full pictures that the directory of a thumbnail names."""
    thumbnail = read_directory(content, layout, offset)
    return [
        at
        for at in thumbnail.offsets(content, _SUB_IFDS, SUB_DIRECTORIES)
        if 0 < at <= len(content) - layout.count and not _kind_at(content, layout, at) & _NO_PAGE
    ]


def costs(content: bytes) -> None:
    """Refuse a TIFF whose pages name too much together. A page that does so alone fails alone.

    Raises:
        BadPicture: they do.
    """
    entries = values = 0
    for offset, _ in islice(_directories(content), PAGES_LIMIT):
        parts = _parts(content, offset)
        named = sum(part.value_bytes for part in parts)
        entries += sum(min(part.entries, ENTRIES) for part in parts)
        if entries > ENTRIES_IN_ALL:
            raise too_complex("TIFF", "entries", entries, ENTRIES_IN_ALL)
        values += named if named <= VALUES_LIE_OVER * len(content) else 0
        if values > VALUES_IN_ALL:
            raise too_complex("TIFF", "bytes of values", values, VALUES_IN_ALL)


def _parts(content: bytes | bytearray, offset: int) -> list[Directory]:
    """The directory of a page, and those that it names and that are read for its metadata."""
    layout = layout_of(content)
    page = read_directory(content, layout, offset)
    named = (page.number(content, tag) for tag in _METADATA)
    return [page, *(read_directory(content, layout, at) for at in named)]


def _judge_first(content: bytes | bytearray) -> None:
    """Refuse the first page of a file, as it is pointed at, before its values are read."""
    layout = layout_of(content)
    parts = _parts(content, layout.number(content, layout.first, layout.offset))
    for part in parts:
        if part.entries > ENTRIES:
            raise too_complex("TIFF", "entries in a directory", part.entries, ENTRIES)
    named, cap = sum(part.value_bytes for part in parts), VALUES_LIE_OVER * len(content)
    if named > cap:
        raise too_complex("TIFF", "bytes of values in a page", named, cap)
    _judge_pieces(content, parts[0])


def _judge_pieces(content: bytes | bytearray, page: Directory) -> None:
    pieces = max(page.count(_STRIPS), page.count(_TILES))
    if pieces > PIECES:
        raise too_complex("TIFF", "strips or tiles in a page", pieces, PIECES)
    samples = page.number(content, _SAMPLES)
    if samples > SAMPLES:
        raise too_complex("TIFF", "samples a pixel", samples, SAMPLES)
    for side, of in ((_TILE_WIDTH, _WIDTH), (_TILE_HEIGHT, _HEIGHT)):
        told, cap = page.number(content, side), max(TILE_SIDE, page.number(content, of) + 15)
        if told > cap:
            raise too_complex("TIFF", "pixels along a side of its tiles", told, cap)


def page_offsets(content: bytes) -> list[int]:
    """The offsets of the IFDs that are pages, at most `PAGES_COUNTED`."""
    found = list(islice(_directories(content), PAGES_COUNTED))
    return [offset for offset, kind in found if not kind & _NO_PAGE] or [
        offset for offset, _ in found
    ]


def _first_page(content: bytes) -> bytes | bytearray:
    """The file with its first page as its first IFD."""
    found = islice(_directories(content), PAGES_COUNTED)
    offset = next((offset for offset, kind in found if not kind & _NO_PAGE), None)
    layout = layout_of(content)
    if offset is None or offset == layout.number(content, layout.first, layout.offset):
        return content
    pointed = bytearray(content)
    _point(pointed, offset)
    return pointed


def _point(content: bytearray, offset: int) -> None:
    """Make the IFD at an offset the first."""
    layout = layout_of(content)
    named = offset.to_bytes(layout.offset, layout.order)
    content[layout.first : layout.first + layout.offset] = named


class _File(io.RawIOBase):
    """Bytes as a file, without a copy of them: documents are large, and have many pages."""

    def __init__(self, content: bytes | bytearray) -> None:
        self._view = memoryview(content)
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer") -> int:
        target = memoryview(buffer)
        taken = self._view[self._at : self._at + len(target)]
        target[: len(taken)] = taken
        self._at += len(taken)
        return len(taken)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: len(self._view)}[whence]
        self._at = max(0, base + offset)
        return self._at


def _opened(content: bytes | bytearray) -> Header:
    """The header of a file's first IFD. Its orientation is 1: the decoder turns it upright, and
    Pillow tells the size after turning.

    Raises:
        BadPicture: it is damaged, or costs more than a page does.
    """
    _judge_first(content)
    page = first_directory(content)
    if not page.fields:
        raise truncated("TIFF") if _names_beyond(content) else damaged("TIFF", "it holds no page")
    variant = variant_of(content, page)
    judge(variant)
    if variant.is_float:  # of which Pillow reads few
        width, height, turn = (page.number(content, tag) for tag in (_WIDTH, _HEIGHT, ORIENTATION))
        return Header("TIFF", *((height, width) if 5 <= turn <= 8 else (width, height)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BufferedReader(_File(content)), formats=["TIFF"]) as opened:
                width, height = opened.size
                exif = opened.getexif()
                icc = opened.info.get("icc_profile") or b""
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - parsers of damaged files raise anything
            raise damaged("TIFF", words(error)) from None
    return Header("TIFF", width, height, 1, icc, exif, orientation_of(exif))


def _names_beyond(content: bytes | bytearray) -> bool:
    """Whether the first page's directory would lie behind the end of the file, where many programs
    write it."""
    layout = layout_of(content)
    return layout.number(content, layout.first, layout.offset) >= len(content) - layout.count


def _is_cut(content: bytes) -> bool:
    layout = layout_of(content)
    pages = islice(_directories(content), PAGES_LIMIT)
    return any(is_cut(content, read_directory(content, layout, offset)) for offset, _ in pages)


def _read_header(content: bytes) -> Header:
    return _opened(_first_page(content))


def _decode(content: bytes, header: Header, reduced: int) -> Pixels:
    return _decode_first(_first_page(content), header)


def _decode_first(content: bytes | bytearray, header: Header) -> Pixels:
    """The first page of a file, as it is pointed at. libtiff's colours behind alpha are multiplied
    or not, as the page has it; and grey with alpha loses it."""
    layout = layout_of(content)
    page = read_directory(content, layout, layout.number(content, layout.first, layout.offset))
    if page.count(_EXTRA_SAMPLES) and page.number(content, _EXTRA_SAMPLES) in _ALPHA:
        return decode_transparent(io.BufferedReader(_File(content)), header, "TIFF")
    return decode(content, header, 1)


def _pages(content: bytes, _: Header) -> Pages | None:
    offsets = page_offsets(content)
    if len(offsets) < 2:
        return None
    return Pages(len(offsets), partial(_each, content, offsets), own_sizes=True)


def _each(content: bytes, offsets: list[int]) -> Iterator[StoredPage | BadPicture]:
    pointed = bytearray(content)
    for offset in offsets:
        _point(pointed, offset)
        try:
            header = _opened(pointed)
        except BadPicture as bad:
            yield bad
        else:
            yield StoredPage(header, partial(_decode_first, pointed, header))


TIFF = Format(
    name="TIFF",
    recognises=begins(b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"),
    costs=costs,
    read_header=_read_header,
    decode=_decode,
    pages=_pages,
    is_cut=_is_cut,
)
