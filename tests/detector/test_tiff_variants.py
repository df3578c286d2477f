"""Variants of TIFF: each has the pixels of the picture, or a reason that names it."""

import io
import struct
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from tifffile import imwrite  # of scikit-image

from services.detector.decode import decode
from services.detector.failures import BadPicture
from services.detector.header import read_header
from shared.reasons import Reason
from tests.support.every_kind import (
    png_turned_by_a_text,
    tiff_of_a_picture_below_its_thumbnail,
)
from tests.support.pictures import LIMITS, astronaut, encoded, pixels


def written(values: np.ndarray, **options: Any) -> bytes:  # Any: what tifffile takes
    file = io.BytesIO()
    imwrite(file, values, photometric="rgb" if values.ndim == 3 else "minisblack", **options)
    return file.getvalue()


def colours() -> np.ndarray:
    return np.asarray(astronaut())


def told_as_compressed_by(number: int) -> bytes:
    content = encoded(astronaut(), "TIFF")
    entry = struct.pack("<HHI", 259, 3, 1)
    return content.replace(entry + b"\1\0", entry + struct.pack("<H", number))


READ: dict[str, Callable[[], bytes]] = {
    "of 16 bits": lambda: written(colours().astype(np.uint16) * 257),
    "of 16 bits, big-endian": lambda: written(colours().astype(np.uint16) * 257, byteorder=">"),
    "of floats": lambda: written(colours().astype(np.float32) / 255),
    "of 64-bit floats": lambda: written(colours() / 255),
    "of tiles": lambda: written(colours(), tile=(64, 64)),
    "of planes": lambda: written(
        np.ascontiguousarray(colours().transpose(2, 0, 1)), planarconfig="separate"
    ),
    "LZW": lambda: encoded(astronaut(), "TIFF", compression="tiff_lzw"),
    "deflate": lambda: encoded(astronaut(), "TIFF", compression="tiff_adobe_deflate"),
    "PackBits": lambda: encoded(astronaut(), "TIFF", compression="packbits"),
    "Zstandard": lambda: encoded(astronaut(), "TIFF", compression="zstd"),
    "LZMA": lambda: encoded(astronaut(), "TIFF", compression="lzma"),
    "JPEG": lambda: encoded(astronaut(), "TIFF", compression="jpeg", quality=95),
    "palette": lambda: encoded(astronaut().convert("P"), "TIFF"),
    "CMYK": lambda: encoded(astronaut().convert("CMYK"), "TIFF"),
    "a SubIFD of a thumbnail": tiff_of_a_picture_below_its_thumbnail,
}

UNREAD: dict[str, tuple[Callable[[], bytes], str]] = {
    "32-bit": (lambda: written(colours().astype(np.uint32)), "32-bit whole numbers"),
    "signed": (lambda: written(colours().astype(np.int16)), "signed or complex numbers"),
    "half": (lambda: written(colours().astype(np.float16)), "16-bit floating-point numbers"),
    "WebP": (lambda: told_as_compressed_by(50001), "compressed by WebP"),
    "old JPEG": (lambda: told_as_compressed_by(6), "compressed by old JPEG"),
    "an unknown one": (lambda: told_as_compressed_by(4711), "compressed by number 4711"),
}


@pytest.mark.parametrize("variant", READ)
def test_a_variant_that_is_read_has_the_pixels_of_the_picture(variant: str) -> None:
    content = READ[variant]()

    found = decode(content, read_header(content, LIMITS.max_pixels))[:, :, ::-1]

    wanted = pixels(content if variant == "palette" else encoded(astronaut(), "PNG"))
    assert np.abs(found.astype(int) - wanted).mean() < (4 if variant in ("JPEG", "CMYK") else 1)


@pytest.mark.parametrize("variant", UNREAD)
def test_a_variant_that_is_not_read_is_named(variant: str) -> None:
    make, named = UNREAD[variant]

    with pytest.raises(BadPicture, match=named) as refused:
        read_header(make(), LIMITS.max_pixels)

    assert refused.value.reason is Reason.UNSUPPORTED


@pytest.mark.parametrize("kind", [b"tEXt", b"zTXt"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_orientation_of_a_png_may_stand_in_a_text(orientation: int, kind: bytes) -> None:
    content = png_turned_by_a_text(orientation, kind)

    assert read_header(content, LIMITS.max_pixels).orientation == orientation
