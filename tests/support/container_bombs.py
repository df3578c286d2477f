"""Small files of camera raw, Photoshop, several pictures and floating-point numbers that claim or
cost much."""

import struct
import zlib

from tests.support import bombs
from tests.support.pictures import astronaut, encoded
from tests.support.raw_pictures import dng

_MAKER = (271, 2, 4, int.from_bytes(b"Abc\0", "little"))
_DNG = (50706, 1, 4, 0x0401)
_MOSAIC = ((33421, 3, 2, 0x20002), (33422, 1, 4, 0x02010100))


def _with_numbers(content: bytes, **of_tags: int) -> bytes:
    """Wherever a directory has one of these tags with one long number, another number."""
    changed = bytearray(content)
    for tag, number in of_tags.items():
        entry = struct.pack("<HHI", int(tag.removeprefix("tag")), 4, 1)
        at = changed.find(entry)
        while at >= 0:
            struct.pack_into("<I", changed, at + 8, number)
            at = changed.find(entry, at + 1)
    return bytes(changed)


def raw_that_claims(side: int) -> bytes:
    """A raw of 512 x 400 pixels whose directory says `side` x `side`."""
    return _with_numbers(dng(astronaut()), tag256=side, tag257=side)


def raw_whose_preview_claims(length: int) -> bytes:
    """Bytes of a preview, in a file that ends before."""
    return _with_numbers(dng(astronaut(), preview=astronaut()), tag279=length)


def raw_of_directories(count: int) -> bytes:
    """A raw whose first directory names another so many times."""
    sensor = [(254, 4, 1, 0), (256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 16), (259, 3, 1, 1)]
    sensor += [(262, 3, 1, 32803), (273, 4, 1, 8), (279, 4, 1, 8192)]
    body = bytes(8192) + struct.pack("<H", len(sensor))
    body += b"".join(struct.pack("<HHII", *entry) for entry in sensor) + bytes(4)
    named = struct.pack("<I", 8 + 8192) * count
    return bombs.tiff_of([_MAKER, (330, 4, count, 8 + len(body)), _DNG], body + named)


def raw_that_names_itself() -> bytes:
    """As the next directory, as the one below and as that of its EXIF."""
    content = bytearray(bombs.tiff_of([_MAKER, (330, 4, 1, 8), (34665, 4, 1, 8), _DNG]))
    content[-4:] = struct.pack("<I", 8)
    return bytes(content)


def raw_of_tiles(side: int, tile: int) -> bytes:
    """A raw whose tiles all are the same bytes, which are no picture."""
    count = (side // tile) ** 2
    entries = [(254, 4, 1, 0), (256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, 16)]
    entries += [(259, 3, 1, 7), (262, 3, 1, 32803), (322, 4, 1, tile), (323, 4, 1, tile)]
    entries += [(324, 4, count, 8), (325, 4, count, 8), _MAKER, _DNG, *_MOSAIC]
    return bombs.tiff_of(entries, struct.pack("<I", 8) * count)


def photoshop(
    width: int, height: int, *, channels: int = 3, wide: bool = False, row: bytes | None = None
) -> bytes:
    """A file whose packed rows are all alike; without them where there is none."""
    size = ">I" if wide else ">H"
    head = struct.pack(
        ">4sH6sHIIHH", b"8BPS", 1 + wide, b"", channels, height, width, 8, 3
    ) + bytes(16 if wide else 12)
    rows = channels * height if row is not None else 0
    told = row or b""
    return head + b"\0\1" + struct.pack(size, len(told)) * rows + told * rows


def packed_row(width: int) -> bytes:
    """One value, repeated (PackBits: TIFF revision 6.0, section 9)."""
    return b"\x81\7" * (width // 128) + (b"\0\7" * (width % 128))


def views(count: int, behind: bytes | None = None) -> bytes:
    """A JPEG whose index names the picture behind it so many times, each up to the file's end."""
    first, other = encoded(astronaut(), "JPEG"), behind or encoded(astronaut(), "JPEG")
    index = b"II*\0" + struct.pack("<IHHHIII", 8, 1, 0xB002, 7, 16 * count, 26, 0)
    place = len(first) + 8 + len(index) + 16 * count - 10  # from the index on
    entry = struct.pack("<IIIHH", 0x020002, 0xFFFF_FFFF, place, 0, 0)
    told = bombs.segment(0xE2, b"MPF\0" + index + entry * count)
    return first[:2] + told + first[2:] + other


def tiff_of_floats(side: int, bits: int) -> bytes:
    """Grey; all strips are the same bytes."""
    packed = zlib.compress(bytes(side * 16 * bits // 8), 9)
    packed += bytes(len(packed) % 2)
    count = -(-side // 16)
    places, lengths = 8 + len(packed), 8 + len(packed) + 4 * count
    body = packed + struct.pack("<I", 8) * count + struct.pack("<I", len(packed)) * count
    entries = [(256, 4, 1, side), (257, 4, 1, side), (258, 3, 1, bits), (259, 3, 1, 8)]
    entries += [(262, 3, 1, 1), (273, 4, count, places), (277, 3, 1, 1), (278, 4, 1, 16)]
    return bombs.tiff_of([*entries, (279, 4, count, lengths), (339, 3, 1, 3)], body)


def tiff_of_thumbnails(count: int) -> bytes:
    """Thumbnails that each name sixteen directories below them, of which none is one."""
    below = struct.pack("<16I", *[72] * 16)
    entries = struct.pack("<H", 2) + struct.pack("<HHII", 254, 4, 1, 1)
    entries += struct.pack("<HHII", 330, 4, 16, 8)
    size = len(entries) + 4
    start = 8 + len(below)
    chain = (entries + struct.pack("<I", start + size * n) for n in range(1, count + 1))
    return b"II*\0" + struct.pack("<I", start) + below + b"".join(chain)


def tiff_that_is_cut(strips: int) -> bytes:
    """A page whose strips all lie behind the end of the file."""
    more = ((273, 4, strips, 8), (278, 4, 1, 1), (279, 4, strips, 8))
    return bombs.tiff_of(bombs.grey_tiff(10_000, *more), struct.pack("<I", 1 << 30) * strips)


def png_that_is_cut(side: int) -> bytes:
    """A PNG of which a fiftieth is there, without its end."""
    head = bombs.chunk(b"IHDR", struct.pack(">II", side, side) + b"\x08\2\0\0\0")
    packed = zlib.compress(bytes(side * (3 * side + 1) // 50), 9)
    return b"\x89PNG\r\n\x1a\n" + head + bombs.chunk(b"IDAT", packed)


def gif_that_is_cut(side: int) -> bytes:
    """A GIF whose one frame of 64 x 64 says that it is larger, without its end."""
    content = bytearray(encoded(bombs.SMALL.quantize(16), "GIF"))
    at = content.index(b",\0\0\0\0")
    struct.pack_into("<HH", content, 6, side, side)
    struct.pack_into("<HH", content, at + 5, side, side)
    return bytes(content[:-3])


def bmp_that_is_cut(side: int) -> bytes:
    """A BMP of one byte of pixels."""
    sizes = struct.pack("<IiiHHIIIIII", 40, side, side, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<III", 0, 0, 54) + sizes + b"a"
