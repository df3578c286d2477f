"""Pixels decoded by OpenCV. A JPEG may be decoded at reduced scale."""

from collections.abc import Callable

import cv2
import numpy as np
from numpy.typing import NDArray

from services.detector.failures import BadPicture
from services.detector.formats.format import Header
from services.detector.models.model import Pixels
from services.detector.visible import without_needless_alpha
from shared.reasons import Reason

_REDUCED = {
    2: cv2.IMREAD_REDUCED_COLOR_2,
    4: cv2.IMREAD_REDUCED_COLOR_4,
    8: cv2.IMREAD_REDUCED_COLOR_8,
}

_NO_MEMORY = -4  # OpenCV's StsNoMem


def _unmarked(_: bytes | bytearray) -> bool:
    return False


def _opaque(_: bytes | bytearray) -> bool:
    return False


def decoder(
    ends_early: Callable[[bytes | bytearray], bool] = _unmarked,
    may_be_transparent: Callable[[bytes | bytearray], bool] = _opaque,
) -> Callable[[bytes | bytearray, Header, int], Pixels]:
    """A `Format.decode` by OpenCV.

    `ends_early` says whether a file that cannot be decoded lacks its end, where its format marks
    one; `may_be_transparent`, whether alpha is to be decoded: elsewhere it is dropped. Grey becomes
    three channels, 16 bits become 8, of an animation the first frame is taken. A TIFF is turned
    upright here, whatever the flags say.
    """

    def decode(content: bytes | bytearray, header: Header, reduced: int) -> Pixels:
        pixels = _decoded(content, header, reduced, may_be_transparent(content))
        if pixels is None and ends_early(content):
            raise BadPicture(
                Reason.TRUNCATED,
                f"the {header.format} is truncated: the file ends before the picture does",
            )
        if pixels is None:
            raise BadPicture(
                Reason.DAMAGED,
                f"the {header.format} is damaged, or of a variant that this build cannot read",
            )
        height, width = pixels.shape[:2]
        if (width, height) != (-(-header.width // reduced), -(-header.height // reduced)):
            claims = f"{header.width} x {header.height} pixels"
            raise BadPicture(
                Reason.DAMAGED, f"the {header.format} claims {claims} and holds others"
            )
        return pixels

    return decode


def _decoded(
    content: bytes | bytearray, header: Header, reduced: int, transparent: bool
) -> Pixels | None:
    flags = _REDUCED.get(reduced, cv2.IMREAD_COLOR) | cv2.IMREAD_IGNORE_ORIENTATION
    if transparent:
        flags = cv2.IMREAD_UNCHANGED  # which turns nothing
    try:
        pixels = cv2.imdecode(np.frombuffer(content, np.uint8), flags)
    except cv2.error as error:
        if error.code == _NO_MEMORY:
            raise MemoryError(f"not enough memory to decode the {header.format}") from None
        return None
    if pixels is None or not transparent:
        return None if pixels is None else np.asarray(pixels, np.uint8)
    return _in_8_bits(np.asarray(pixels))


def _in_8_bits(unchanged: NDArray[np.uint8 | np.uint16]) -> Pixels:
    """BGR or BGRA of what OpenCV gives unchanged: grey or colours, of 8 or 16 bits.

    The high byte of 16 bits is taken, as OpenCV does where it makes 8 of them itself.
    """
    high = unchanged >> 8 if unchanged.dtype == np.uint16 else unchanged
    pixels = np.asarray(high, np.uint8)
    if pixels.ndim == 2:
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_GRAY2BGR), np.uint8)
    return without_needless_alpha(pixels)
