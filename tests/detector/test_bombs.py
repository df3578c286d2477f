"""Small files that unpack to something huge, or lie: refused, or never more than claimed."""

import io
import resource
import struct
import sys
import zlib
from collections.abc import Callable

import pytest
from PIL import Image

from services.detector.decode import decode
from services.detector.header import BadPicture, read_header
from services.detector.picture import Limits, process
from tests.support.fuzzed import NoFaces
from tests.support.pictures import recipe

MAX_PIXELS = 1_000_000
MEBIBYTE = 1 << 20

SMALL = struct.pack(">II", 8, 8)


def picture(kind: str, side: int = 3000, **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", (side, side), (9, 99, 199)).save(file, kind, **options)
    return file.getvalue()


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def png_with(inserted: bytes, side: int = 8) -> bytes:
    whole = picture("PNG", side)
    return whole[:33] + inserted + whole[33:]


def png_of_two_headers() -> bytes:
    whole = picture("PNG")
    return whole[:8] + chunk(b"IHDR", SMALL + bytes([8, 2, 0, 0, 0])) + whole[8:]


def jpeg_2000_that_lies() -> bytes:
    whole = picture("JPEG2000")
    at = whole.index(b"ihdr") + 4
    return whole[:at] + SMALL + whole[at + 8 :]


def avif_that_lies() -> bytes:
    whole = picture("AVIF", 2000)
    at = whole.index(b"ispe") + 8
    return whole[:at] + SMALL + whole[at + 8 :]


def webp_that_lies() -> bytes:
    inner = picture("WEBP")[12:]
    claim = b"VP8X" + struct.pack("<I", 10) + bytes(4) + (7).to_bytes(3, "little") * 2
    return b"RIFF" + struct.pack("<I", 4 + len(claim + inner)) + b"WEBP" + claim + inner


def gif_that_lies() -> bytes:
    whole = bytearray(picture("GIF"))
    whole[6:10] = struct.pack("<HH", 8, 8)
    return bytes(whole)


def gif_of_many_frames() -> bytes:
    frames = [Image.new("P", (900, 900), n % 200) for n in range(200)]
    file = io.BytesIO()
    frames[0].save(file, "GIF", save_all=True, append_images=frames[1:])
    return file.getvalue()


def tiff_of_many_pages() -> bytes:
    file = io.BytesIO()
    first, page = Image.new("L", (8, 8)), Image.new("L", (3000, 3000))
    first.save(file, "TIFF", save_all=True, append_images=[page] * 50, compression="tiff_deflate")
    return file.getvalue()


def bmp_of_negative_sides() -> bytes:
    sides = struct.pack("<IiiHHIIiiII", 40, -(1 << 31), -(1 << 31), 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + sides


ZEROS = zlib.compress(bytes(200 * MEBIBYTE), 9)

BOMBS: dict[str, Callable[[], bytes]] = {
    "png text": lambda: png_with(chunk(b"zTXt", b"a\0\0" + ZEROS)),
    "png profile": lambda: png_with(chunk(b"iCCP", b"a\0\0" + ZEROS)),
    "png of two headers": png_of_two_headers,
    "jpeg 2000 that lies": jpeg_2000_that_lies,
    "avif that lies": avif_that_lies,
    "webp that lies": webp_that_lies,
    "gif that lies": gif_that_lies,
    "gif of many frames": gif_of_many_frames,
    "tiff of many pages": tiff_of_many_pages,
    "bmp of negative sides": bmp_of_negative_sides,
    "ppm of 64 bits": lambda: b"P6 4294967297 1 255\n" + bytes(100),
    "zip": lambda: b"PK\x03\x04" + ZEROS,
    "gzip": lambda: b"\x1f\x8b\x08" + ZEROS,
    "svg of entities": lambda: b'<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "aaaa">]><svg/>',
}
BOMBS["png pixels"] = lambda: png_with(b"").replace(SMALL, struct.pack(">II", 30_000, 30_000), 1)


def peak() -> int:
    """Most bytes that this process ever held."""
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


@pytest.mark.parametrize("bomb", BOMBS)
def test_a_bomb_is_refused_or_never_more_than_it_claims(bomb: str) -> None:
    content = BOMBS[bomb]()
    before = peak()
    try:
        header = read_header(content, MAX_PIXELS)
        decoded = decode(content, header)
    except BadPicture as refused:
        assert str(refused)
    else:
        assert decoded.shape[:2] == (header.height, header.width)
        assert header.width * header.height <= MAX_PIXELS
    assert peak() - before < 150 * MEBIBYTE


@pytest.mark.parametrize("bomb", ["gif of many frames", "tiff of many pages"])
def test_pages_of_a_bomb_are_searched_or_refused_one_at_a_time(bomb: str) -> None:
    content = BOMBS[bomb]()
    before = peak()
    done = process(content, recipe(), NoFaces(), Limits(MAX_PIXELS))
    assert done.status == "no_faces"
    assert done.pages > 50
    assert len(done.searched) >= 50
    assert peak() - before < 150 * MEBIBYTE


@pytest.mark.parametrize("kind", ["PNG", "GIF", "TIFF", "WEBP", "JPEG", "JPEG2000", "BMP"])
def test_a_small_file_of_too_many_pixels_is_refused_before_it_is_decoded(kind: str) -> None:
    content = picture(kind, 1001)
    with pytest.raises(BadPicture, match="1001 x 1001 pixels, more than the 1,000,000 allowed"):
        read_header(content, MAX_PIXELS)
    assert read_header(content, 1001 * 1001).width == 1001
