"""Damaged picture files: seeded, so that any of them can be made again."""

import io
import random
import zlib
from collections.abc import Callable
from functools import cache

import numpy as np
from PIL import Image
from tifffile import imwrite  # of scikit-image

from services.detector.models import Detections, Pixels
from tests.support.every_kind import tiff_of_a_picture_below_its_thumbnail
from tests.support.heic_pictures import grid, tiles_of
from tests.support.jpeg_xl_pictures import jpeg_xl, jpeg_xl_of
from tests.support.pictures import animated, astronaut, encoded
from tests.support.psd_pictures import psd
from tests.support.raw_pictures import dng


def _small() -> Image.Image:
    return astronaut().resize((96, 75))


def _with_exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112], exif[0x010F] = 6, "Maker"
    exif.get_ifd(0x8769)[0x9003] = "2026:01:02 03:04:05"
    return encoded(_small(), "JPEG", exif=exif, icc_profile=b"\0" * 300)


def _pages() -> list[Image.Image]:
    """Three that differ in a part only, so that frames are composed."""
    pages = [_small() for _ in range(3)]
    for n, page in enumerate(pages):
        page.paste("red", (n * 20, 10, n * 20 + 15, 40))
    return pages


def _tiled() -> bytes:
    """By tifffile: Pillow writes no tiles."""
    file = io.BytesIO()
    pixels = np.asarray(_small())
    imwrite(file, pixels, tile=(16, 16), compression="zlib", photometric="rgb")
    return file.getvalue()


_MAKE: dict[str, Callable[[], bytes]] = {
    "jpeg": _with_exif,
    "progressive": lambda: encoded(_small(), "JPEG", progressive=True),
    "png": lambda: encoded(_small(), "PNG"),
    "palette": lambda: encoded(_small().quantize(), "PNG", optimize=True),
    "webp": lambda: encoded(_small(), "WEBP", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
    "lossless": lambda: encoded(_small(), "WEBP", lossless=True),
    "gif": lambda: encoded(_small().quantize(), "GIF"),
    "tiff": lambda: encoded(_small(), "TIFF", compression="tiff_lzw"),
    "avif": lambda: encoded(_small(), "AVIF"),
    "heic": lambda: encoded(_small(), "HEIF", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0"),
    "heic-tiles": lambda: grid(tiles_of(_small(), 64), 2, (96, 75)),
    "jxl": lambda: jpeg_xl(_small()),
    "jxl-boxes": lambda: jpeg_xl_of(encoded(_small(), "JPEG", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0")),
    "jxl-deep": lambda: jpeg_xl(_small().convert("RGBA"), deep=True),
    "jp2": lambda: encoded(_small(), "JPEG2000"),
    "bmp": lambda: encoded(_small(), "BMP"),
    "ppm": lambda: encoded(_small(), "PPM"),
    "cmyk": lambda: encoded(_small().convert("CMYK"), "JPEG"),
    "bigtiff": lambda: encoded(_small(), "TIFF", big_tiff=True),
    "tiff-tiles": _tiled,
    "tiff-floats": lambda: encoded(
        Image.fromarray(np.asarray(_small().convert("F")) / 255), "TIFF"
    ),
    "tiff-below": lambda: tiff_of_a_picture_below_its_thumbnail(_small()),
    "psd": lambda: psd(_small()),
    "psb": lambda: psd(_small().convert("CMYK"), wide=True, bits=16),
    "dng": lambda: dng(_small().resize((96, 76))),
    "dng-preview": lambda: dng(_small().resize((96, 76)), preview=_small()),
    "mpo": lambda: animated("MPO", [_small(), _small()]),
    "tiff-pages": lambda: animated("TIFF", _pages(), compression="tiff_lzw"),
    "gif-frames": lambda: animated("GIF", _pages()),
    "webp-frames": lambda: animated("WEBP", _pages()),
    "png-frames": lambda: animated("PNG", _pages(), blend=1),
    "avif-frames": lambda: animated("AVIF", _pages()),
    "heic-pages": lambda: animated("HEIF", [page.convert("RGBA") for page in _pages()]),
}
KINDS = tuple(_MAKE)


@cache
def whole(kind: str) -> bytes:
    """The file before it is damaged."""
    return _MAKE[kind]()


def mutated(kind: str, seed: int) -> bytes:
    """The file after one to eight changes, of which the header has more than its share."""
    chance = random.Random(f"{kind}:{seed}")
    content = bytearray(whole(kind))
    for _ in range(chance.randint(1, 8)):
        if not content:
            break
        reach = len(content) if chance.random() < 0.5 else min(len(content), 200)
        at = chance.randrange(reach)
        match chance.randrange(6):
            case 0:
                content[at] ^= 1 << chance.randrange(8)
            case 1:
                content[at] = chance.choice((0, 1, 0x7F, 0x80, 0xFF))
            case 2:
                del content[at : at + chance.randint(1, 64)]
            case 3:
                content[at:at] = chance.randbytes(chance.randint(1, 64))
            case 4:
                content[at : at + 4] = chance.choice(
                    (b"\xff\xff\xff\xff", b"\0\0\0\0", b"\x7f" * 4)
                )
            case _:
                end = chance.randrange(len(content))
                content[at:at] = content[min(at, end) : max(at, end)][:500]
    if chance.random() < 0.15:
        del content[chance.randrange(len(content) + 1) :]
    if kind in ("png", "palette", "png-frames") and chance.random() < 0.7:
        return _with_right_sums(bytes(content))
    return bytes(content)


def _with_right_sums(content: bytes) -> bytes:
    """A PNG whose chunks have the check sums of their damaged bytes: else none is looked into."""
    parts, at = [content[:8]], 8
    while at + 12 <= len(content):
        length = int.from_bytes(content[at : at + 4], "big")
        body = content[at + 4 : at + 8 + length]
        parts += [content[at : at + 4], body, zlib.crc32(body).to_bytes(4, "big")]
        at += 12 + length
    return b"".join([*parts, content[at:]])


class NoFaces:
    """A model that finds nothing: decoding is what is tried."""

    name = "none"
    overlap = 0.5

    def detect(self, picture: Pixels, min_score: float) -> Detections:
        return Detections.none()
