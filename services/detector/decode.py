"""Bytes to pixels, by the decoder of their format."""

import numpy as np

from services.detector.formats import READABLE
from services.detector.formats.format import Header
from services.detector.models.model import Pixels


def reduction(header: Header, longest: int) -> int:
    """By how much a file may be reduced while decoding and still be at least `longest` long."""
    side = max(header.width, header.height)
    return max((by for by in READABLE[header.format].reductions if side >= by * longest), default=1)


def decode(content: bytes, header: Header, reduced: int = 1) -> Pixels:
    """Pixels as stored (not yet upright), BGR, 8 bits; sides divided by `reduced`, rounded up.

    Raises:
        BadPicture: the pixels cannot be decoded.
        MemoryError: there is not enough memory.
    """
    return _seen(READABLE[header.format].decode(content, header, reduced))


def _seen(pixels: Pixels) -> Pixels:
    """Pixels as they are seen on white, where some are not opaque."""
    if pixels.shape[2] == 3:
        return pixels
    alpha = pixels[:, :, 3:].astype(np.uint16)
    return np.asarray((pixels[:, :, :3] * alpha + 255 * (255 - alpha) + 127) // 255, np.uint8)
