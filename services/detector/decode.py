"""Bytes to pixels: OpenCV's decoders, a JPEG at reduced scale where that is enough."""

import cv2
import numpy as np

from services.detector.header import BadPicture, Header
from services.detector.models.protocol import Picture

_REDUCED = {
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}

_NO_MEMORY = -4  # OpenCV's StsNoMem


def reduction(header: Header, longest: int) -> int:
    """By how much a JPEG may be reduced while decoding and still be at least `longest` long."""
    if header.format != "JPEG":
        return 1
    side = max(header.width, header.height)
    return max((by for by in (1, 2, 4, 8) if side >= by * longest), default=1)


def decode(content: bytes, header: Header, reduced: int = 1) -> Picture:
    """Pixels as stored (not yet upright), BGR, 8 bits; sides divided by `reduced`, rounded up.

    Grey becomes three channels, alpha is dropped, 16 bits become 8, of an animation the first
    frame is taken.

    Raises:
        BadPicture: the pixels cannot be decoded.
        MemoryError: there is not enough memory.
    """
    flags = _REDUCED.get(reduced, cv2.IMREAD_COLOR) | cv2.IMREAD_IGNORE_ORIENTATION
    try:
        picture = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error as error:
        if error.code == _NO_MEMORY:
            raise MemoryError(f"not enough memory to decode the {header.format}") from None
        picture = None
    if picture is None:
        raise BadPicture(
            f"the {header.format} is truncated: the file ends before the picture does"
            if _ends_early(content, header.format)
            else f"the {header.format} is damaged, or of a variant that this build cannot read"
        )
    height, width = picture.shape[:2]
    if (width, height) != (-(-header.width // reduced), -(-header.height // reduced)):
        raise BadPicture(
            f"the {header.format} claims {header.width} x {header.height} pixels and holds others"
        )
    return np.asarray(picture, np.uint8)


def _ends_early(content: bytes, name: str) -> bool:
    """Whether a file that could not be decoded lacks its end, where the format marks one."""
    if name == "JPEG":
        return b"\xff\xd9" not in content[-4096:]
    if name == "PNG":
        return b"IEND" not in content[-4096:]
    if name == "WebP":
        return int.from_bytes(content[4:8], "little") + 8 > len(content)
    return False
