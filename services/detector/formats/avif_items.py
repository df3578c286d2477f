"""Where an AVIF keeps its coded pictures, and how large those are (ISO/IEC 14496-12 and 23008-12).

Pixels are items of the box `meta`, or samples of the tracks of an animation. The container repeats
their size, and decoders take memory by what is coded.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain

from services.detector.formats.av1 import sizes
from services.detector.formats.boxes import Box, boxes
from services.detector.formats.costs import too_complex
from shared.messages import PAGES_LIMIT

_NAME = "AVIF"

ITEMS = 1_000
"""Items of a picture. One of tiles has an item for each, by encoders 256 at the most."""

EXTENTS = 10_000
"""Pieces of the file that all items lie in; an item has one, or a few."""

TRACKS = 8
"""Tracks of an animation: colours, and transparency."""


def costs(content: bytes) -> None:
    """Refuse an AVIF of too many boxes, items or pieces of them.

    Raises:
        BadPicture: it has them.
    """
    for _ in boxes(_NAME, content, 0, len(content)):
        pass
    for _ in _items(content):
        pass


def largest_coded(content: bytes) -> Iterator[tuple[int, int]]:
    """Width and height that each coded picture says, of as many frames as are searched.

    Raises:
        BadPicture: it has too many pieces.
    """
    for units in chain(_items(content), _samples(content)):
        yield from sizes(units)


def inside(name: str, content: bytes, parent: Box, kind: bytes, skip: int = 0) -> list[Box]:
    """The boxes of one kind in another, behind `skip` bytes of it."""
    return [
        box for box in boxes(name, content, parent.start + skip, parent.end) if box.kind == kind
    ]


def _items(content: bytes) -> Iterator[bytes]:
    """The bytes of each item of AV1."""
    return (item.body for item in items(_NAME, content, frozenset({b"av01"})))


@dataclass(frozen=True)
class Item:
    """An item of a file: its number, its kind, its bytes, and whether the file ends before them."""

    number: int
    kind: bytes
    body: bytes
    is_cut: bool


def items(name: str, content: bytes, kinds: frozenset[bytes]) -> Iterator[Item]:
    """Each item of one of these kinds, of a file of the format `name`.

    Raises:
        BadPicture: it has too many items, or pieces of them.
    """
    whole = Box(b"", 0, len(content))
    for meta in inside(name, content, whole, b"meta"):
        coded = item_kinds(name, content, meta, kinds)
        data = next(iter(inside(name, content, meta, b"idat", 4)), whole)
        for place in inside(name, content, meta, b"iloc", 4):
            yield from _located(name, content, place, coded, data)


def item_kinds(name: str, content: bytes, meta: Box, kinds: frozenset[bytes]) -> dict[int, bytes]:
    """The numbers of the items of a box `meta` that are of one of these kinds, and which."""
    found: dict[int, bytes] = {}
    for info in inside(name, content, meta, b"iinf", 4):
        skip = 6 if content[info.start : info.start + 1] == b"\0" else 8
        for count, entry in enumerate(inside(name, content, info, b"infe", skip), start=1):
            if count > ITEMS:
                raise too_complex(name, "items", count, ITEMS)
            wide = 4 if content[entry.start : entry.start + 1] == b"\3" else 2
            at = entry.start + 4
            kind = content[at + wide + 2 : at + wide + 6]
            if kind in kinds:
                found[int.from_bytes(content[at : at + wide], "big")] = kind
    return found


class Reader:
    """Reads numbers one behind the other; zeros beyond the end."""

    def __init__(self, content: bytes, at: int) -> None:
        self._content = content
        self._at = at

    def read(self, size: int) -> int:
        self._at += size
        return int.from_bytes(self._content[self._at - size : self._at], "big")


def _located(
    name: str, content: bytes, place: Box, coded: dict[int, bytes], data: Box
) -> Iterator[Item]:
    """The coded items that a box `iloc` places (23008-12, 8.11.3 of 14496-12)."""
    reader = Reader(content, place.start)
    version = reader.read(4) >> 24
    packed = reader.read(2)
    offset_size, length_size, base_size = packed >> 12, packed >> 8 & 15, packed >> 4 & 15
    index_size = packed & 15 if version else 0
    count = reader.read(4 if version == 2 else 2)
    if count > ITEMS:
        raise too_complex(name, "items", count, ITEMS)
    pieces = held = 0
    for _ in range(count):
        number = reader.read(4 if version == 2 else 2)
        in_data = bool(reader.read(2) & 1) if version else False
        reader.read(2)
        start = reader.read(base_size) + (data.start if in_data else 0)
        parts = []
        is_cut = False
        for _ in range(reader.read(2)):
            reader.read(index_size)
            at, length = start + reader.read(offset_size), reader.read(length_size)
            part = content[at : at + (length or len(content))]
            is_cut = is_cut or len(part) < length
            pieces, held = pieces + 1, held + len(part)
            if pieces > EXTENTS:
                raise too_complex(name, "pieces of items", pieces, EXTENTS)
            if held > len(content):
                raise too_complex(name, "bytes in items", held, len(content))
            parts.append(part)
        if number in coded:
            yield Item(number, coded[number], b"".join(parts), is_cut)


def _samples(content: bytes) -> Iterator[bytes]:
    """The bytes of the samples of each track, of as many as are searched."""
    whole = Box(b"", 0, len(content))
    for moov in inside(_NAME, content, whole, b"moov"):
        tracks = inside(_NAME, content, moov, b"trak")
        if len(tracks) > TRACKS:
            raise too_complex(_NAME, "tracks", len(tracks), TRACKS)
        for track in tracks:
            found = [track]
            for kind in (b"mdia", b"minf", b"stbl"):
                found = [inner for box in found for inner in inside(_NAME, content, box, kind)]
            for table in found:
                yield from _of_table(content, table)


def _of_table(content: bytes, table: Box) -> Iterator[bytes]:
    """The first samples of one table `stbl`: chunks of samples that lie side by side."""
    parts = {box.kind: box for box in boxes(_NAME, content, table.start, table.end)}
    places = parts.get(b"stco") or parts.get(b"co64")
    runs, told = parts.get(b"stsc"), parts.get(b"stsz")
    if places is None or runs is None or told is None:
        return
    lengths = _lengths(content, told)
    wide = 8 if places.kind == b"co64" else 4
    offsets = Reader(content, places.start + 4)
    per_chunk = _per_chunk(content, runs)
    for _ in range(min(offsets.read(4), PAGES_LIMIT)):
        at = offsets.read(wide)
        for _ in range(next(per_chunk)):
            size = next(lengths, None)
            if size is None:
                return
            yield content[at : at + size]
            at += size


def _lengths(content: bytes, told: Box) -> Iterator[int]:
    reader = Reader(content, told.start + 4)
    same, count = reader.read(4), reader.read(4)
    for _ in range(min(count, PAGES_LIMIT)):
        yield same or reader.read(4)


def _per_chunk(content: bytes, runs: Box) -> Iterator[int]:
    """How many samples each chunk has: runs of chunks that have as many."""
    reader = Reader(content, runs.start + 4)
    count = reader.read(4)
    first, samples = reader.read(4), min(reader.read(4), PAGES_LIMIT)
    reader.read(4)
    chunk, read = first, 1
    following = reader.read(4) if read < count else 0
    while True:
        if following and chunk >= following:
            samples = min(reader.read(4), PAGES_LIMIT)
            reader.read(4)
            read += 1
            following = reader.read(4) if read < count else 0
        yield samples
        chunk += 1
