"""Formats of a single picture, and little more to say: BMP, PPM."""

import re

from services.detector.formats.costs import too_complex
from services.detector.formats.format import Format, begins
from services.detector.formats.opencv import decoder
from services.detector.formats.pillow import header_by_pillow

PPM_HEAD_BYTES = 16 << 10
"""A PPM's head. It has three numbers and perhaps a line of comment, and is read byte by byte."""

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


BMP = Format(
    "BMP",
    begins(b"BM"),
    _bmp_costs,
    header_by_pillow("BMP", "BMP"),
    decoder(may_be_transparent=lambda content: content[28:29] == b"\x20"),  # bits a pixel
)
PPM = Format(
    "PPM", begins(b"P4", b"P5", b"P6"), _ppm_costs, header_by_pillow("PPM", "PPM"), decoder()
)
