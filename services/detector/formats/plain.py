"""Formats of a single picture, and little more to say: BMP, PPM."""

import re

from services.detector.formats.costs import too_complex
from services.detector.formats.format import Format, Header, begins
from services.detector.formats.opencv import decoder
from services.detector.formats.pillow import header_by_pillow
from services.detector.formats.tolerant import truncated
from services.detector.models.model import Pixels

PPM_HEAD_BYTES = 16 << 10
"""A PPM's head. It has three numbers and perhaps a line of comment, and is read byte by byte."""

_BMP_HEAD = 54
_UNPACKED = (0, 3, 6)
"""Kinds of a BMP whose rows all have the same length: BI_RGB, and with masks of bits."""

_BITS = (1, 4, 8, 16, 24, 32)
"""Bits of a pixel of those."""

_by_opencv = decoder()
_bmp_by_opencv = decoder(
    may_be_transparent=lambda content: content[28:29] == b"\x20"  # bits a pixel
)

_COMMENT = re.compile(rb"#[^\r\n]*")


def _bmp_costs(_: bytes) -> None:
    """A BMP is its size and its pixels: it has nothing of which there could be many."""


def _ppm_costs(content: bytes) -> None:
    """Refuse a PPM whose pixels do not begin soon.

    Raises:
        BadPicture: they do not.
    """
    numbers = _COMMENT.sub(b"", content[:PPM_HEAD_BYTES]).split(maxsplit=4)
    needed = 3 if content.startswith(b"P4") else 4
    if len(numbers) < needed and len(content) > PPM_HEAD_BYTES:
        raise too_complex("PPM", "bytes before its pixels", PPM_HEAD_BYTES + 1, PPM_HEAD_BYTES)


def _bmp_bytes(content: bytes) -> int:
    """How long a BMP has to be; 0 where its rows are packed, and that cannot be told.

    (Microsoft, "BITMAPINFOHEADER": rows are filled up to four bytes.)
    """
    if len(content) < _BMP_HEAD or int.from_bytes(content[14:18], "little") < 40:
        return 0
    width, height = (
        abs(int.from_bytes(content[at : at + 4], "little", signed=True)) for at in (18, 22)
    )
    bits = int.from_bytes(content[28:30], "little")
    if bits not in _BITS or int.from_bytes(content[30:34], "little") not in _UNPACKED:
        return 0
    return int.from_bytes(content[10:14], "little") + -(-width * bits // 32) * 4 * height


def _bmp_is_cut(content: bytes) -> bool:
    return _BMP_HEAD <= len(content) < _bmp_bytes(content)


def _decode_bmp(content: bytes, header: Header, reduced: int) -> Pixels:
    """The rows that are missing from a file that is cut are black."""
    if not _bmp_is_cut(content):
        return _bmp_by_opencv(content, header, reduced)
    if len(content) <= int.from_bytes(content[10:14], "little"):
        raise truncated("BMP")
    return _bmp_by_opencv(content.ljust(_bmp_bytes(content), b"\0"), header, reduced)


BMP = Format(
    "BMP",
    begins(b"BM"),
    _bmp_costs,
    header_by_pillow("BMP", "BMP"),
    _decode_bmp,
    is_cut=_bmp_is_cut,
)
PPM = Format(
    "PPM", begins(b"P4", b"P5", b"P6"), _ppm_costs, header_by_pillow("PPM", "PPM"), _by_opencv
)
