"""Small pictures that cost much, made here: each ends as a failed row, and costs nobody else."""

import io
import struct
import zlib
from functools import cache

import numpy as np
from PIL import Image
from skimage import data


def _saved(picture: Image.Image, kind: str, **options: object) -> bytes:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def _segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(body) + 2) + body


@cache
def scans(count: int = 3000, side: int = 8000) -> bytes:
    """A grey progressive JPEG of so many scans; in each every block is an end of band (ITU T.81,
    G.1.2.2: runs of up to 32,767 blocks take two bytes)."""
    blocks = (side // 8) ** 2
    tables = _segment(0xDB, bytes([0, *[1] * 64]))
    frame = _segment(0xC2, struct.pack(">BHHB", 8, side, side, 1) + bytes([1, 0x11, 0]))
    # One code each: difference 0 of DC; an end-of-band run with 14 more bits of AC.
    codes = _segment(0xC4, bytes([0x00, 1, *[0] * 15, 0x00]))
    codes += _segment(0xC4, bytes([0x10, 1, *[0] * 15, 0xE0]))
    first = _segment(0xDA, bytes([1, 1, 0, 0, 0, 0])) + bytes(-(-blocks // 8))
    bits = ("0" + "1" * 14) * -(-blocks // 0x7FFF)
    bits += "1" * (-len(bits) % 8)
    run = int(bits, 2).to_bytes(len(bits) // 8, "big").replace(b"\xff", b"\xff\x00")
    more = b"".join(
        _segment(0xDA, bytes([1, 1, 0, 1 + n % 63, 1 + n % 63, 0])) + run for n in range(count)
    )
    return b"\xff\xd8" + tables + frame + codes + first + more + b"\xff\xd9"


@cache
def fill_bytes(size: int = 20 << 20) -> bytes:
    """A JPEG with so many fill bytes before its first marker (ITU T.81, B.1.1.2)."""
    whole = _saved(Image.new("RGB", (64, 64)), "JPEG")
    return whole[:2] + b"\xff" * size + whole[2:]


def _chunk(name: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))


@cache
def chunks(count: int = 2_000_000) -> bytes:
    """A PNG of so many chunks that say nothing."""
    whole = _saved(Image.new("L", (8, 8)), "PNG")
    return whole[:33] + _chunk(b"abCd") * count + whole[33:]


@cache
def avif_that_lies(side: int = 9000) -> bytes:
    """An AVIF whose container says 8 x 8."""
    whole = _saved(Image.new("RGB", (side, side), (9, 99, 199)), "AVIF", speed=10)
    at = whole.index(b"ispe") + 8
    return whole[:at] + struct.pack(">II", 8, 8) + whole[at + 8 :]


@cache
def profile_for_each_face(faces: int = 49, size: int = 15 << 20) -> bytes:
    """A JPEG of so many faces, with a colour profile that would be copied into each crop."""
    side = int(faces**0.5)
    head = np.asarray(data.astronaut())[0:200, 120:320]
    crowd = Image.fromarray(np.tile(head, (side, side, 1)))
    return _saved(crowd, "JPEG", icc_profile=bytes(16) + b"RGB " + bytes(size))


@cache
def pixels(side: int = 60_000) -> bytes:
    """A PNG that claims so many pixels."""
    whole = _saved(Image.new("L", (8, 8)), "PNG")
    claim = struct.pack(">II", side, side) + whole[24:29]
    return whole[:8] + _chunk(b"IHDR", claim) + whole[33:]
