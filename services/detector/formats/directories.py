"""The directories of TIFF and of EXIF blocks, read without their values (TIFF revision 6.0; BigTIFF
as in libtiff)."""

import struct
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal

_TYPE_BYTES = {
    **dict.fromkeys((1, 2, 6, 7), 1),
    **dict.fromkeys((3, 8), 2),
    **dict.fromkeys((4, 9, 11, 13), 4),
    **dict.fromkeys((5, 10, 12, 16, 17, 18), 8),
}
"""Bytes of one value of each type; of an unknown type nothing is read."""

_WHOLE_NUMBERS = (3, 4, 13, 16)
_OFFSETS = (4, 13, 16, 18)

ENTRIES = 4_096
"""Entries of one directory that are looked at. Those of maps and raw files have some 200."""


@dataclass(frozen=True)
class Layout:
    """Where the numbers of a file are, in bytes: of TIFF, or of BigTIFF."""

    order: Literal["little", "big"]
    first: int
    """Where the head names the first directory."""
    offset: int
    count: int
    entry: int

    def number(self, content: bytes | bytearray, at: int, size: int) -> int:
        return int.from_bytes(content[at : at + size], self.order)

    @cached_property
    def packed(self) -> struct.Struct:
        """An entry: tag, type, count, and its values or where they are."""
        order = "<" if self.order == "little" else ">"
        return struct.Struct(order + ("HHQ8s" if self.entry == 20 else "HHI4s"))


def layout_of(content: bytes | bytearray) -> Layout:
    """The layout that the head of a file tells."""
    order: Literal["little", "big"] = "little" if content[:2] == b"II" else "big"
    if int.from_bytes(content[2:4], order) == 43:
        return Layout(order, first=8, offset=8, count=8, entry=20)
    return Layout(order, first=4, offset=4, count=2, entry=12)


@dataclass(frozen=True)
class Directory:
    """What a directory says of itself.

    Attributes:
        entries: how many it claims.
        value_bytes: of its values that lie elsewhere, as far as the file goes; each time that
            they are named.
        fields: tag to type, count and the bytes that hold the value or its place.
        places: tag to where its entry is in the file.
    """

    layout: Layout
    entries: int
    value_bytes: int
    fields: dict[int, tuple[int, int, bytes]]
    places: dict[int, int] = field(default_factory=dict)

    def place(self, tag: int) -> tuple[int, int] | None:
        """Where the value of a tag of one whole number is in the file, and how many bytes it has;
        None where there is no such tag."""
        kind, count, _ = self.fields.get(tag, (0, 0, b""))
        size = _TYPE_BYTES.get(kind, 0)
        if count != 1 or not 0 < size <= self.layout.offset or kind not in _WHOLE_NUMBERS:
            return None
        return self.places[tag] + self.layout.entry - self.layout.offset, size

    def count(self, tag: int) -> int:
        """How many values a tag has; 0 without it."""
        return self.fields[tag][1] if tag in self.fields else 0

    def offsets(self, content: bytes | bytearray, tag: int, most: int) -> list[int]:
        """The first values of a tag that names other directories, at most so many."""
        kind, count, held = self.fields.get(tag, (0, 0, b""))
        if kind not in _OFFSETS:
            return []
        size = _TYPE_BYTES[kind]
        if size * count > len(held):
            at = int.from_bytes(held, self.layout.order)
            held = bytes(content[at : at + size * min(count, most)])
        count = min(count, most, len(held) // size)
        return [
            int.from_bytes(held[n * size : (n + 1) * size], self.layout.order) for n in range(count)
        ]

    def number(self, content: bytes | bytearray, tag: int) -> int:
        """The first value of a tag, a whole number; 0 without it."""
        if tag not in self.fields:
            return 0
        kind, count, held = self.fields[tag]
        size = _TYPE_BYTES.get(kind, 0)
        if size * count > len(held):
            at = int.from_bytes(held, self.layout.order)
            held = bytes(content[at : at + size])
        return int.from_bytes(held[:size], self.layout.order)


def read_directory(content: bytes | bytearray, layout: Layout, offset: int) -> Directory:
    """The directory at an offset, its first `ENTRIES` entries; an empty one where there is none."""
    if not 0 < offset <= len(content) - layout.count:
        return Directory(layout, 0, 0, {})
    entries = layout.number(content, offset, layout.count)
    start = offset + layout.count
    read = min(entries, ENTRIES, max(0, len(content) - start) // layout.entry)
    fields: dict[int, tuple[int, int, bytes]] = {}
    elsewhere = 0
    view = memoryview(content)[start : start + read * layout.entry]
    places: dict[int, int] = {}
    for number, (tag, kind, count, held) in enumerate(layout.packed.iter_unpack(view)):
        size = _TYPE_BYTES.get(kind, 0) * count
        if size > layout.offset:
            at = int.from_bytes(held, layout.order)
            elsewhere += min(size, max(0, len(content) - at))
        places.setdefault(tag, start + number * layout.entry)
        fields.setdefault(tag, (kind, count, held))  # libtiff takes the first, too
    return Directory(layout, entries, elsewhere, fields, places)
