"""How large the pictures in a HEIC are, as coded and as put together (ISO/IEC 23008-12).

Pixels are items of HEVC, or derived of other items: a grid of tiles, an overlay. A decoder takes
memory by what those say, which the container only repeats.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from services.detector.formats.av1 import Bits
from services.detector.formats.avif_items import ITEMS, Reader, inside, item_kinds, items
from services.detector.formats.boxes import Box, boxes
from services.detector.formats.costs import too_complex
from services.detector.formats.format import damaged

_NAME = "HEIC"
_DERIVED = frozenset({b"grid", b"iovl", b"iden", b"tmap"})
_PUT_TOGETHER = (b"grid", b"iovl", b"iden")
_KINDS = _DERIVED | {b"hvc1"}

DERIVED = 64
"""Derived pictures of a file. A phone's has a grid, one of its gain map, and what joins the two."""

TIMES_ITS_PIXELS, SPARE_PIXELS = 4, 1 << 22
"""Pixels that may be decoded for a picture: so many times its own, and so many more. Of the tiles
of a grid some are cut at the edges, and layers beside it are no larger than it."""

UNITS = 1_000
"""Units (NAL) of one coded picture that are looked at; it has a few, and some a slice."""

_SPS = 33


def costs(content: bytes) -> None:
    """Refuse a HEIC of too many boxes, items, pieces or tiles, of grids made of grids, or of one
    for which far more pixels are decoded than it has.

    Raises:
        BadPicture: it is one.
    """
    whole = Box(b"", 0, len(content))
    for meta in inside(_NAME, content, whole, b"meta"):
        _judge_names(content, meta)
        derived = item_kinds(_NAME, content, meta, _DERIVED)
        if len(derived) > DERIVED:
            raise too_complex(_NAME, "derived pictures", len(derived), DERIVED)
        references = list(_references(content, meta))
        for one in references:
            nested = sum(number in derived for number in one.to) if one.kind == b"dimg" else 0
            if nested and derived.get(one.number) in _PUT_TOGETHER:
                raise too_complex(_NAME, "pictures derived from derived ones", nested, 0)
        _judge_pixels(content, references)
    for item in items(_NAME, content, _DERIVED):
        grid = item.kind == b"grid" and len(item.body) > 3
        cells = (item.body[2] + 1) * (item.body[3] + 1) if grid else 0
        if cells > ITEMS:
            raise too_complex(_NAME, "tiles", cells, ITEMS)


def _judge_names(content: bytes, meta: Box) -> None:
    """Refuse an item whose kind or name is no UTF-8: pi-heif ends the process at one (1.4.0)."""
    for info in inside(_NAME, content, meta, b"iinf", 4):
        skip = 6 if content[info.start : info.start + 1] == b"\0" else 8
        for entry in inside(_NAME, content, info, b"infe", skip):
            wide = 4 if content[entry.start : entry.start + 1] == b"\3" else 2
            try:
                content[entry.start + 6 + wide : entry.end].decode()
            except UnicodeDecodeError:
                raise damaged(_NAME, "the kind or name of an item is no text") from None


@dataclass(frozen=True)
class _Reference:
    """What an item refers to, one item as often as it is named."""

    kind: bytes
    number: int
    to: tuple[int, ...]


def _references(content: bytes, meta: Box) -> Iterator[_Reference]:
    """The references between items: the box `iref` (14496-12, 8.11.12)."""
    total = 0
    for references in inside(_NAME, content, meta, b"iref", 4):
        wide = 4 if content[references.start : references.start + 1] == b"\1" else 2
        for box in boxes(_NAME, content, references.start + 4, references.end):
            reader = Reader(content, box.start)
            number, count = reader.read(wide), reader.read(2)
            total += count
            if total > 4 * ITEMS:
                raise too_complex(_NAME, "references", total, 4 * ITEMS)
            yield _Reference(box.kind, number, tuple(reader.read(wide) for _ in range(count)))


def _judge_pixels(content: bytes, references: list[_Reference]) -> None:
    """Refuse an item whose tiles, or whose transparency, are far larger than itself. Tiles may be
    one and the same item, which is decoded each time."""
    pictures = {picture.number: picture for picture in sizes(content)}
    area = {number: max(map(prod, one.coded), default=0) for number, one in pictures.items()}
    decoded: dict[int, int] = {}
    for one in references:
        if one.kind == b"dimg" and one.number in pictures:
            tiles = sum(area.get(number, 0) for number in one.to)
            decoded[one.number] = decoded.get(one.number, 0) + tiles
    beside = dict(decoded)
    for one in references:
        if one.kind == b"auxl":
            for number in one.to:
                layer = area.get(one.number, 0) + decoded.get(one.number, 0)
                beside[number] = beside.get(number, 0) + layer
    for number, pixels in beside.items():
        told = max(map(prod, pictures[number].told), default=0) if number in pictures else 0
        if pixels > TIMES_ITS_PIXELS * told + SPARE_PIXELS:
            cap = TIMES_ITS_PIXELS * told + SPARE_PIXELS
            raise too_complex(_NAME, "pixels to decode for one picture", pixels, cap)


def is_cut(content: bytes) -> bool:
    """Whether the file ends before its pictures do. A decoder leaves out tiles that it cannot read,
    and says nothing."""
    return any(item.is_cut for item in items(_NAME, content, _KINDS))


@dataclass(frozen=True)
class Picture:
    """A picture in a file: the sizes (width, height) that its properties tell of it, and those that
    its coded pixels, or the head of a grid or an overlay, say."""

    number: int
    told: list[tuple[int, int]]
    coded: list[tuple[int, int]]


def sizes(content: bytes) -> Iterator[Picture]:
    """Each picture, coded or derived, before it is turned."""
    told: dict[int, list[tuple[int, int]]] = {}
    coded: dict[int, list[tuple[int, int]]] = {}
    kinds: dict[int, bytes] = {}
    whole = Box(b"", 0, len(content))
    for meta in inside(_NAME, content, whole, b"meta"):
        kinds |= item_kinds(_NAME, content, meta, _KINDS)
        for number, box in _properties(content, meta):
            body = content[box.start : box.end]
            if box.kind == b"ispe":
                reader = Reader(body, 4)
                told.setdefault(number, []).append((reader.read(4), reader.read(4)))
            elif box.kind == b"hvcC":
                coded.setdefault(number, []).extend(_of_configuration(body))
    for item in items(_NAME, content, _KINDS):
        if item.kind == b"hvc1":
            coded.setdefault(item.number, []).extend(_of_units(item.body))
        elif item.kind in (b"grid", b"iovl"):
            coded.setdefault(item.number, []).append(_of_derived(item.kind, item.body))
    for number in kinds:
        yield Picture(number, told.get(number, []), coded.get(number, []))


def _properties(content: bytes, meta: Box) -> Iterator[tuple[int, Box]]:
    """Items and their properties that say a size: the box `ipma` (23008-12, 9.3.1) names boxes of
    `ipco` by their place."""
    count = 0
    for properties in inside(_NAME, content, meta, b"iprp", 4):
        listed = [
            box
            for container in inside(_NAME, content, properties, b"ipco")
            for box in boxes(_NAME, content, container.start, container.end)
        ]
        for box in inside(_NAME, content, properties, b"ipma"):
            reader = Reader(content, box.start)
            version_and_flags = reader.read(4)
            wide, long = (4 if version_and_flags >> 24 else 2), version_and_flags & 1
            for _ in range(min(reader.read(4), ITEMS)):
                number = reader.read(wide)
                for _ in range(reader.read(1)):
                    place = reader.read(2) & 0x7FFF if long else reader.read(1) & 0x7F
                    if 0 < place <= len(listed) and listed[place - 1].kind in (b"ispe", b"hvcC"):
                        count += 1
                        if count > 4 * ITEMS:
                            raise too_complex(_NAME, "properties of items", count, 4 * ITEMS)
                        yield number, listed[place - 1]


def _of_derived(kind: bytes, body: bytes) -> tuple[int, int]:
    """What a grid (6.6.2.3) or an overlay (6.6.2.2) says to be as large as."""
    reader = Reader(body, 4 if kind == b"grid" else 10)
    wide = 4 if body[1:2] and body[1] & 1 else 2
    return reader.read(wide), reader.read(wide)


def _of_configuration(body: bytes) -> Iterator[tuple[int, int]]:
    """The sizes in a box `hvcC` (ISO/IEC 14496-15, 8.3.3.1): arrays of units."""
    reader, at = Reader(body, 22), 23
    for _ in range(reader.read(1)):
        count = int.from_bytes(body[at + 1 : at + 3], "big")
        at += 3
        for _ in range(min(count, UNITS)):
            size = int.from_bytes(body[at : at + 2], "big")
            yield from _of_unit(body[at + 2 : at + 2 + size])
            at += 2 + size
            if at >= len(body):
                return


def _of_units(body: bytes) -> Iterator[tuple[int, int]]:
    """The sizes that stand among the units of a coded picture, each behind its length."""
    at = count = 0
    while at + 4 < len(body):
        count += 1
        if count > UNITS:
            raise too_complex(_NAME, "units in a picture", count, UNITS)
        size = int.from_bytes(body[at : at + 4], "big")
        yield from _of_unit(body[at + 4 : at + 4 + min(size, 1024)])
        at += 4 + size


def _of_unit(unit: bytes) -> Iterator[tuple[int, int]]:
    """Width and height of a sequence parameter set (ITU-T H.265, 7.3.2.2)."""
    if len(unit) < 3 or unit[0] >> 1 & 63 != _SPS:
        return
    bits = Bits(unit[2:1024].replace(b"\0\0\3", b"\0\0"))
    bits.read(4)
    layers = bits.read(3)
    bits.read(1 + 88 + 8)
    present = [(bits.read(1), bits.read(1)) for _ in range(layers)]
    if layers:
        bits.read(2 * (8 - layers))
    for profile, level in present:
        bits.read(88 * profile + 8 * level)
    bits.read_long()
    if bits.read_long() == 3:  # chroma 4:4:4
        bits.read(1)
    yield bits.read_long(), bits.read_long()
