"""JPEG XL files for the tests."""

import imagecodecs
import numpy as np
from PIL import Image


def jpeg_xl(picture: Image.Image, *, deep: bool = False) -> bytes:
    """A lossless file of 8 bits in sRGB; `deep`: of 16, proportional to light."""
    pixels = np.asarray(picture)
    if deep:
        light = (pixels / 255.0) ** 2.2
        if pixels.shape[-1] == 4:
            light[:, :, 3] = pixels[:, :, 3] / 255.0
        pixels = np.rint(light * 65_535).astype(np.uint16)
    return bytes(imagecodecs.jpegxl_encode(pixels, lossless=True, effort=3, numthreads=1))


def jpeg_xl_of(jpeg: bytes) -> bytes:
    """A file of boxes that a JPEG can be rebuilt from, with its EXIF, packed."""
    return bytes(imagecodecs.jpegxl_encode_jpeg(jpeg, usecontainer=True, numthreads=1))


def moving_jpeg_xl() -> bytes:
    frames = np.zeros((3, 32, 32, 3), np.uint8)
    return bytes(imagecodecs.jpegxl_encode(frames, photometric="RGB", numthreads=1))


def header_of_jpeg_xl(width: int = 8, height: int = 8, channels: int = 0, kind: int = 0) -> bytes:
    """A code stream that ends behind its header (ISO/IEC 18181-1, D)."""
    bits: list[tuple[int, int]] = [(0, 1), (3, 2), (height - 1, 30), (0, 3)]
    bits += [(3, 2), (width - 1, 30)]
    bits += [(0, 1), (0, 1), (0, 1), (0, 2), (1, 1)]  # nothing usual, no extras, 8 bits
    bits += [(channels, 2)] if channels < 2 else [(2, 2), (channels - 2, 4)]
    for _ in range(channels):
        bits += [(0, 1), (2, 2), (kind - 2, 4)] if kind > 1 else [(1, 1)]
        bits += [(0, 1), (0, 2), (0, 2), (0, 2)] if kind > 1 else []
    bits += [(1, 1), (1, 1)]  # XYB, and sRGB
    number = at = 0
    for value, count in bits:
        number |= value << at
        at += count
    return b"\xff\n" + number.to_bytes(at // 8 + 8, "little")
