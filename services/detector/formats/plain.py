"""Formats of a single picture, and no more to say: BMP, JPEG 2000, PPM."""

from services.detector.formats.format import Format, begins
from services.detector.formats.opencv import decoder
from services.detector.formats.pillow import header_by_pillow

BMP = Format("BMP", begins(b"BM"), header_by_pillow("BMP", "BMP"), decoder())
JPEG_2000 = Format(
    "JPEG 2000",
    begins(b"\0\0\0\x0cjP  \r\n\x87\n", b"\xffO\xffQ"),
    header_by_pillow("JPEG 2000", "JPEG2000"),
    decoder(),
)
PPM = Format("PPM", begins(b"P4", b"P5", b"P6"), header_by_pillow("PPM", "PPM"), decoder())
