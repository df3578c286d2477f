"""Small files that cost much: each is a usual picture, with too many of one thing in it."""

import io
import struct
import zlib
from typing import Any

from PIL import Image

from tests.support.pictures import encoded

SIDE = 64
SMALL = Image.new("RGB", (SIDE, SIDE), (9, 99, 199))


def segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG, or of JPEG 2000."""
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body


def jpeg(**options: Any) -> bytes:  # Any: what Pillow's encoder takes
    """A small JPEG."""
    return encoded(SMALL, "JPEG", **options)


def jpeg_with(inserted: bytes) -> bytes:
    """A JPEG with these bytes before its first segment."""
    whole = jpeg()
    return whole[:2] + inserted + whole[2:]


def jpeg_of_scans(count: int, side: int = SIDE, marker: int = 0xC2) -> bytes:
    """A progressive JPEG of one grey layer; all scans but the first say that nothing changes."""
    blocks = (-(-side // 8)) ** 2
    head = segment(0xDB, b"\0" + bytes([1] * 64))
    head += segment(marker, struct.pack(">BHHB", 8, side, side, 1) + b"\1\x11\0")
    head += segment(0xC4, b"\0" + bytes([1] + [0] * 15) + b"\0")
    head += segment(0xC4, b"\x10" + bytes([1] + [0] * 15) + b"\0")
    first = segment(0xDA, b"\1\1\0\0\0\0") + bytes(-(-blocks // 8))
    more = b"".join(
        segment(0xDA, bytes((1, 1, 0, band, band, 0))) + bytes(-(-blocks // 8))
        for band in (1 + n % 63 for n in range(count - 1))
    )
    return b"\xff\xd8" + head + first + more + b"\xff\xd9"


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    """A chunk of a PNG."""
    told = kind + body
    return struct.pack(">I", len(body)) + told + struct.pack(">I", zlib.crc32(told))


def png_with(inserted: bytes) -> bytes:
    """A PNG with these chunks behind its header."""
    whole = encoded(SMALL, "PNG")
    return whole[:33] + inserted + whole[33:]


def png_of_pieces(count: int) -> bytes:
    """A PNG whose pixels come in so many chunks."""
    side = 256
    packed = zlib.compress(bytes(side * (1 + 3 * side)), 0)
    size = -(-len(packed) // count)
    parts = [packed[at : at + size] for at in range(0, len(packed), size)]
    parts += [b""] * (count - len(parts))
    head = chunk(b"IHDR", struct.pack(">II", side, side) + b"\x08\2\0\0\0")
    pixels = b"".join(chunk(b"IDAT", part) for part in parts)
    return b"\x89PNG\r\n\x1a\n" + head + pixels + chunk(b"IEND")


def gif_with(inserted: bytes) -> bytes:
    """A GIF with these bytes before its frame."""
    whole = encoded(SMALL.quantize(16), "GIF")
    start = 13 + (3 << ((whole[10] & 7) + 1))
    return whole[:start] + inserted + whole[start:]


def webp_with(inserted: bytes) -> bytes:
    """A WebP with these chunks before its pixels."""
    inner = encoded(SMALL, "WEBP")[12:]
    side = (SIDE - 1).to_bytes(3, "little")
    body = b"VP8X" + struct.pack("<I", 10) + bytes(4) + side * 2 + inserted + inner
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def tiff_of(entries: list[tuple[int, int, int, int]], body: bytes = b"") -> bytes:
    """A TIFF of one directory: tag, type, count and value of each entry; `body` begins at 8."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in sorted(entries))
    at = 8 + len(body)
    return (
        b"II*\0"
        + struct.pack("<I", at)
        + body
        + struct.pack("<H", len(entries))
        + packed
        + bytes(4)
    )


def grey_tiff(side: int, *more: tuple[int, int, int, int]) -> list[tuple[int, int, int, int]]:
    """Entries of a grey picture, packed by deflate, and more."""
    usual = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 8), (259, 3, 1, 8), (262, 3, 1, 1)]
    return [*usual, *more]


def tiff_of_tiles(across: int, tile: int) -> bytes:
    """A TIFF of `across` x `across` tiles, all of which are the same bytes."""
    packed = zlib.compress(bytes(tile * tile), 9)
    packed += bytes(len(packed) % 2)
    count = across * across
    places = struct.pack("<I", 8) * count
    sizes = struct.pack("<I", len(packed)) * count
    at = 8 + len(packed)
    more = ((322, 4, 1, tile), (323, 4, 1, tile), (324, 4, count, at))
    entries = grey_tiff(across * tile, *more, (325, 4, count, at + len(places)))
    return tiff_of(entries, packed + places + sizes)


def tiff_of_pages(count: int, entries: int) -> bytes:
    """A TIFF of pages that each have so many entries."""
    told = [*grey_tiff(64), *((1000 + n, 3, 1, 1) for n in range(entries - 5))]
    packed = b"".join(struct.pack("<HHII", *entry) for entry in told)
    size = 2 + len(packed) + 4
    pages = (
        struct.pack("<H", len(told)) + packed + struct.pack("<I", (8 + size * n) * (n < count))
        for n in range(1, count + 1)
    )
    return b"II*\0\x08\0\0\0" + b"".join(pages)


def exif_of(count: int, size: int) -> bytes:
    """An EXIF block whose entries all name the same bytes."""
    at = 8 + 2 + 12 * count + 4
    entries = b"".join(struct.pack("<HHII", 1000 + n, 2, size, at) for n in range(count))
    return b"II*\0\x08\0\0\0" + struct.pack("<H", count) + entries + bytes(4) + bytes(size)


def jpeg_2000(
    *,
    side: int = 10_000,
    tile: int = 10_000,
    components: int = 3,
    layers: int = 1,
    levels: int = 5,
    block: int = 4,
    precincts: bytes = b"",
    told_again: bytes = b"",
) -> bytes:
    """A code stream of these choices, with a few bytes of pixels. `block` is the power of its
    code-blocks' sides, less two. `told_again` comes in the head of the first tile."""
    sizes = struct.pack(">HIIIIIIIIH", 0, side, side, 0, 0, tile, tile, 0, 0, components)
    coding = bytes([bool(precincts), 0]) + struct.pack(">H", layers)
    coding += bytes([components >= 3, levels, block, block, 0, 1]) + precincts
    head = segment(0x51, sizes + b"\7\1\1" * components) + segment(0x52, coding)
    head += segment(0x5C, b"\x40" * (3 * levels + 2))
    pixels = told_again + b"\xff\x93" + bytes(100)
    part = segment(0x90, struct.pack(">HIBB", 0, 12 + len(pixels), 0, 1))
    return b"\xff\x4f" + head + part + pixels + b"\xff\xd9"


def coding_of(block: int) -> bytes:
    """COD as a tile may repeat it, with other code-blocks."""
    return segment(0x52, bytes([0, 0, 0, 1, 1, 5, block, block, 0, 1]))


def box(kind: bytes, body: bytes = b"") -> bytes:
    """A box of an ISO file."""
    return struct.pack(">I", 8 + len(body)) + kind + body


def lying(kind: str, mark: bytes, behind: int, told: int, side: int, **options: Any) -> bytes:
    """A picture of `side` pixels whose container tells `told`, `behind` the end of a mark."""
    file = io.BytesIO()
    Image.new("RGB", (side, side), (9, 99, 199)).save(file, kind, **options)
    whole = file.getvalue()
    at = whole.index(mark) + len(mark) + behind
    return whole[:at] + struct.pack(">II", told, told) + whole[at + 8 :]


def moving_avif_that_lies(told: int, side: int) -> bytes:
    """An animation whose container says everywhere that its frames are smaller."""
    frames = [Image.new("RGB", (side, side), (shade, 99, 199)) for shade in (9, 99)]
    file = io.BytesIO()
    frames[0].save(file, "AVIF", save_all=True, append_images=frames[1:], speed=10)
    whole = file.getvalue()
    whole = whole.replace(struct.pack(">II", side, side), struct.pack(">II", told, told))
    whole = whole.replace(struct.pack(">HH", side, side), struct.pack(">HH", told, told))
    return whole.replace(
        struct.pack(">II", side << 16, side << 16), struct.pack(">II", told << 16, told << 16)
    )
