"""Pictures with erased parts, whose colours are still in the file."""

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
from PIL import Image

from tests.support.jpeg_xl_pictures import jpeg_xl
from tests.support.pictures import animated, astronaut, encoded

ERASED = (16, 240, 16)
"""A green that the astronaut has nowhere: where it is seen, something was shown that was not."""

LEFT, BOTTOM = slice(0, 150), slice(300, 400)


def cut_out() -> Image.Image:
    """The astronaut, with what lies left of her face and below it erased: alpha is 0 there, and the
    colours are still in the file."""
    picture = np.dstack((np.asarray(astronaut()), np.full((400, 512), 255, np.uint8)))
    for erased in ((slice(None), LEFT), (BOTTOM, slice(None))):
        picture[erased] = (*ERASED, 0)
    return Image.fromarray(picture)


def of_palette() -> bytes:
    """A PNG of a palette whose last colour is transparent, by a chunk tRNS."""
    whole = cut_out()
    erased = np.asarray(whole)[:, :, 3] == 0
    indexed = whole.convert("RGB").quantize(255)
    index = np.where(erased, 255, np.asarray(indexed)).astype(np.uint8)
    picture = Image.fromarray(index, "P")
    palette = (indexed.getpalette() or [])[: 255 * 3]
    picture.putpalette([*palette, *[0] * (255 * 3 - len(palette)), *ERASED])
    return encoded(picture, "PNG", transparency=255)


def of_16_bits() -> bytes:
    deep = np.asarray(cut_out()).astype(np.uint16)[:, :, (2, 1, 0, 3)] * 257
    return bytes(cv2.imencode(".png", deep)[1])


def by_colour() -> bytes:
    """A PNG without alpha, one colour of which stands for nothing."""
    return encoded(cut_out().convert("RGB"), "PNG", transparency=ERASED)


def bmp() -> bytes:
    return bytes(cv2.imencode(".bmp", np.asarray(cut_out())[:, :, (2, 1, 0, 3)])[1])


def animation(kind: str, **options: Any) -> bytes:
    return animated(kind, [cut_out(), cut_out().rotate(1)], **options)


TRANSPARENT: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: encoded(cut_out(), "PNG"),
    "PNG of a palette": of_palette,
    "PNG of 16 bits": of_16_bits,
    "PNG with a colour that is transparent": by_colour,
    "PNG, animated": lambda: animation("PNG"),
    "WebP": lambda: encoded(cut_out(), "WEBP", lossless=True, exact=True),
    "WebP, lossy": lambda: encoded(cut_out(), "WEBP", quality=95, exact=True),
    "WebP, animated": lambda: animation("WEBP", lossless=True, exact=True),
    "TIFF": lambda: encoded(cut_out(), "TIFF"),
    "TIFF, packed": lambda: encoded(cut_out(), "TIFF", compression="tiff_lzw"),
    "TIFF of pages": lambda: animation("TIFF"),
    "GIF": lambda: encoded(cut_out(), "GIF"),
    "GIF, animated": lambda: animation("GIF"),
    "AVIF": lambda: encoded(cut_out(), "AVIF", quality=95),
    "HEIC": lambda: encoded(cut_out(), "HEIF", quality=95),
    "BMP": bmp,
    "JPEG 2000": lambda: encoded(cut_out(), "JPEG2000"),
    "JPEG XL": lambda: jpeg_xl(cut_out()),
}
