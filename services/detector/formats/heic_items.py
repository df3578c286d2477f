"""How large the pictures in a HEIC are, as coded and as put together (ISO/IEC 23008-12).

Pixels are items of HEVC, or derived of other items: a grid of tiles, an overlay. A decoder takes
memory by what those say, which the container only repeats.
"""

from collections.abc import Iterator

from services.detector.formats.av1 import Bits
from services.detector.formats.avif_items import ITEMS, Reader, inside, item_kinds, items
from services.detector.formats.boxes import Box, boxes
from services.detector.formats.costs import too_complex

_NAME = "HEIC"
_DERIVED = frozenset({b"grid", b"iovl", b"iden", b"tmap"})
_KINDS = _DERIVED | {b"hvc1"}

DERIVED = 64
"""Derived pictures of a file. A phone's has a grid, one of its gain map, and what joins the two."""

UNITS = 1_000
"""Units (NAL) of one coded picture that are looked at; it has a few, and some a slice."""

_SPS = 33


def costs(content: bytes) -> None:
    """Refuse a HEIC of too many boxes, items, pieces or tiles, or of grids made of grids.

    Raises:
        BadPicture: it is one.
    """
    whole = Box(b"", 0, len(content))
    for meta in inside(_NAME, content, whole, b"meta"):
        derived = item_kinds(_NAME, content, meta, _DERIVED)
        if len(derived) > DERIVED:
            raise too_complex(_NAME, "derived pictures", len(derived), DERIVED)
        for references in inside(_NAME, content, meta, b"iref", 4):
            _judge(content, references, derived)
    for kind, body in items(_NAME, content, _KINDS):
        cells = (body[2] + 1) * (body[3] + 1) if kind == b"grid" and len(body) > 3 else 0
        if cells > ITEMS:
            raise too_complex(_NAME, "tiles", cells, ITEMS)


def _judge(content: bytes, references: Box, derived: dict[int, bytes]) -> None:
    """Refuse grids and overlays of derived pictures, whose cost grows with each step."""
    wide = 4 if content[references.start : references.start + 1] == b"\1" else 2
    total = 0
    for box in boxes(_NAME, content, references.start + 4, references.end):
        reader = Reader(content, box.start)
        number, count = reader.read(wide), reader.read(2)
        total += count
        if total > 4 * ITEMS:
            raise too_complex(_NAME, "references", total, 4 * ITEMS)
        if box.kind != b"dimg" or derived.get(number) not in (b"grid", b"iovl", b"iden"):
            continue
        nested = sum(reader.read(wide) in derived for _ in range(count))
        if nested:
            raise too_complex(_NAME, "pictures derived from derived ones", nested, 0)


def largest(content: bytes) -> Iterator[tuple[int, int]]:
    """Width and height of each picture, coded or derived, as far as it says one."""
    for kind, body in items(_NAME, content, _KINDS):
        if kind == b"hvc1":
            yield from _of_units(body)
        elif kind in (b"grid", b"iovl"):
            yield _of_derived(kind, body)
    whole = Box(b"", 0, len(content))
    for meta in inside(_NAME, content, whole, b"meta"):
        for properties in inside(_NAME, content, meta, b"iprp", 4):
            for container in inside(_NAME, content, properties, b"ipco"):
                for box in inside(_NAME, content, container, b"hvcC"):
                    yield from _of_configuration(content[box.start : box.end])


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
