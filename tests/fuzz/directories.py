"""TIFF files whose directories lie (TIFF revision 6.0, section 2; BigTIFF as in libtiff)."""

import random
from dataclasses import dataclass
from typing import Literal

EXTREMES = (
    *(0, 1, 2, 0x7F, 0x80, 0xFF, 0x7FFF, 0x8000, 0xFFFF, 10_900, 65_500, 0x10000),
    *(0x7FFFFFFF, 0x80000000, 0xFFFFFFFE, 0xFFFFFFFF, 1 << 40, (1 << 63) - 1, (1 << 64) - 1),
)
"""Numbers at the ends of the ranges that readers keep them in."""


@dataclass(frozen=True)
class _Place:
    """Where the first directory is, and how wide its numbers are."""

    order: Literal["big", "little"]
    offset: int
    count_size: int
    entry_size: int
    number_size: int
    head_at: int
    entries: int

    @property
    def first(self) -> int:
        return self.offset + self.count_size

    @property
    def next_at(self) -> int:
        return self.first + self.entries * self.entry_size


def _place(content: bytes | bytearray) -> _Place | None:
    order: Literal["big", "little"] = "little" if content[:2] == b"II" else "big"
    big = int.from_bytes(content[2:4], order) == 43
    count_size, entry_size, number_size, head_at = (8, 20, 8, 8) if big else (2, 12, 4, 4)
    offset = int.from_bytes(content[head_at : head_at + number_size], order)
    if not 0 < offset <= len(content) - count_size:
        return None
    entries = int.from_bytes(content[offset : offset + count_size], order)
    return _Place(order, offset, count_size, entry_size, number_size, head_at, min(entries, 1000))


def damaged_directory(content: bytearray, chance: random.Random) -> bytearray:
    """The file after one change of its first directory."""
    place = _place(content)
    if place is None or not place.entries:
        return content

    def write(at: int, number: int, size: int) -> None:
        number &= (1 << (8 * size)) - 1
        content[at : at + size] = number.to_bytes(size, place.order)

    entry = place.first + chance.randrange(place.entries) * place.entry_size
    number = chance.choice((*EXTREMES, len(content), len(content) - 1, place.offset))
    match chance.randrange(7):
        case 0:
            write(entry, chance.choice((number, 256, 257, 258, 273, 277, 279, 322, 34665)), 2)
        case 1:
            write(entry + 2, chance.randrange(20), 2)
        case 2:
            write(entry + 4, number, place.number_size)
        case 3:
            write(entry + 4 + place.number_size, number, place.number_size)
        case 4:
            write(place.offset, number, place.count_size)
        case 5:
            places = (place.offset, place.first, len(content), number)
            write(place.next_at, chance.choice(places), place.number_size)
        case _:
            return _with_more_entries(content, place, chance)
    return content


def _with_more_entries(content: bytearray, place: _Place, chance: random.Random) -> bytearray:
    """The directory once more at the end of the file, with one entry many times."""
    table = bytes(content[place.first : place.next_at])
    at = chance.randrange(place.entries) * place.entry_size
    entry = table[at : at + place.entry_size]
    most = 60_000 if chance.random() < 0.1 else 300
    again = min(chance.randint(1, most), 65_535 - place.entries)
    content[place.head_at : place.head_at + place.number_size] = len(content).to_bytes(
        place.number_size, place.order
    )
    content += (place.entries + again).to_bytes(place.count_size, place.order)
    content += table + entry * again + bytes(place.number_size)
    return content
