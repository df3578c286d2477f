"""Bytes to pixels: whole JPEGs by simplejpeg, all else by OpenCV's decoders.

A JPEG may be decoded at reduced scale where that is enough.
"""

import cv2
import numpy as np
import simplejpeg

from services.detector.header import BadPicture, Header
from services.detector.models.model import Pixels

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


def decode(content: bytes, header: Header, reduced: int = 1) -> Pixels:
    """Pixels as stored (not yet upright), BGR, 8 bits; sides divided by `reduced`, rounded up.

    Grey becomes three channels, alpha is dropped, 16 bits become 8, of an animation the first
    frame is taken.

    Raises:
        BadPicture: the pixels cannot be decoded.
        MemoryError: there is not enough memory.
    """
    whole = _flawless(content, header) if header.format == "JPEG" and reduced == 1 else None
    return _by_opencv(content, header, reduced) if whole is None else whole


def _flawless(content: bytes, header: Header) -> Pixels | None:
    """A JPEG of the usual kind in which no error is found; of all others OpenCV shall judge.

    Both are libjpeg-turbo, but OpenCV always interpolates between samples of colour. An annotated
    JPEG stores colour at half the resolution again, so that costs time and some of the colour: with
    repeated samples, what is not drawn on stays closer to the original.
    """
    try:
        height, width, colours, _ = simplejpeg.decode_jpeg_header(content)
        if colours not in ("YCbCr", "Gray") or (width, height) != (header.width, header.height):
            return None
        return np.asarray(simplejpeg.decode_jpeg(content, "BGR", fastupsample=True), np.uint8)
    except ValueError:
        return None


def _by_opencv(content: bytes, header: Header, reduced: int) -> Pixels:
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
