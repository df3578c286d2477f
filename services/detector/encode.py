"""Pixels to the bytes of a JPEG, with the metadata that it keeps."""

import numpy as np
import simplejpeg

from services.detector.failures import BadPicture
from services.detector.models.model import Pixels
from shared.reasons import Reason

LONGEST_SIDE = 65_500
"""What libjpeg writes at most (its JPEG_MAX_DIMENSION)."""

_SEGMENT = 65_533
"""Bytes that one segment of a JPEG holds (its length counts two more)."""

_ICC = b"ICC_PROFILE\0"


def encode_jpeg(picture: Pixels, quality: int, exif: bytes = b"", icc: bytes = b"") -> bytes:
    """A baseline JPEG of a BGR picture, its colours at half the resolution (4:2:0).

    Raises:
        BadPicture: a side is longer than a JPEG's may be.
        MemoryError: there is not enough memory.
    """
    height, width = picture.shape[:2]
    if max(height, width) > LONGEST_SIDE:
        raise BadPicture(
            Reason.TOO_LONG_TO_DRAW,
            f"an annotated JPEG cannot be {width} x {height} pixels "
            f"(at most {LONGEST_SIDE:,} a side); run with --mode none",
        )
    try:
        whole = np.ascontiguousarray(picture)
        encoded: bytes = simplejpeg.encode_jpeg(whole, quality, "BGR", "420")
    except ValueError as error:  # the sizes are right, so that memory is all that it can lack
        raise MemoryError(f"not enough memory to encode the picture: {error}") from None
    segments = _segments(exif, icc)
    if not segments:
        return encoded
    # Behind the start of image and the JFIF segment, which must come first (ITU-T T.871, 10.1).
    start = 2 + 2 + int.from_bytes(encoded[4:6], "big")
    view = memoryview(encoded)
    return b"".join((view[:start], segments, view[start:]))


def _segments(exif: bytes, icc: bytes) -> bytes:
    """EXIF in one segment APP1; the profile in as many APP2 as it needs (ICC.1:2010, B.4)."""
    room = _SEGMENT - len(_ICC) - 2
    parts = [icc[at : at + room] for at in range(0, len(icc), room)]
    numbered = (
        _segment(0xE2, _ICC + bytes((number, len(parts))) + part)
        for number, part in enumerate(parts, start=1)
    )
    first = _segment(0xE1, exif) if 0 < len(exif) <= _SEGMENT else b""
    return first + (b"".join(numbered) if len(parts) <= 255 else b"")


def _segment(marker: int, body: bytes) -> bytes:
    return bytes((0xFF, marker)) + (len(body) + 2).to_bytes(2, "big") + body
