"""Bytes to pixels, by the decoder of their format."""

from services.detector.formats import READABLE
from services.detector.formats.format import Header
from services.detector.models.model import Pixels


def reduction(header: Header, longest: int) -> int:
    """By how much a file may be reduced while decoding and still be at least `longest` long."""
    side = max(header.width, header.height)
    return max((by for by in READABLE[header.format].reductions if side >= by * longest), default=1)


def decode(content: bytes, header: Header, reduced: int = 1) -> Pixels:
    """Pixels as stored (not yet upright), 8 bits; sides divided by `reduced`, rounded up: BGR, or
    BGRA with straight alpha where something is not opaque (`services.detector.visible`).

    Raises:
        BadPicture: the pixels cannot be decoded.
        MemoryError: there is not enough memory.
    """
    return READABLE[header.format].decode(content, header, reduced)
