"""The formats of files: one entry each, in the order in which a file is tried against them."""

from services.detector.formats.avif import AVIF
from services.detector.formats.format import HEAD_BYTES, Format, Unreadable, begins, branded
from services.detector.formats.gif import GIF
from services.detector.formats.jpeg import JPEG
from services.detector.formats.jpeg_2000 import JPEG_2000
from services.detector.formats.plain import BMP, PPM
from services.detector.formats.png import PNG
from services.detector.formats.tiff import TIFF
from services.detector.formats.webp import WEBP

FORMATS: tuple[Format | Unreadable, ...] = (
    JPEG,
    PNG,
    WEBP,
    AVIF,
    Unreadable("camera raw", branded(b"crx ")),
    Unreadable(
        "HEIC",
        branded(b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
    ),
    Unreadable("MP4 video", lambda head: head[4:8] == b"ftyp"),
    Unreadable("camera raw", begins(b"II*\0\x10\0\0\0CR", b"FUJIFILMCCD-RAW")),
    TIFF,
    GIF,
    BMP,
    JPEG_2000,
    PPM,
    Unreadable("JPEG XL", begins(b"\0\0\0\x0cJXL \r\n\x87\n", b"\xff\n")),
    Unreadable("PSD", begins(b"8BPS")),
    Unreadable("PDF", begins(b"%PDF")),
    Unreadable("ICO", begins(b"\0\0\x01\0")),
    Unreadable("Matroska video", begins(b"\x1aE\xdf\xa3")),
    Unreadable("SVG", lambda head: head.lstrip().lower().startswith((b"<svg", b"<?xml"))),
)

READABLE = {entry.name: entry for entry in FORMATS if isinstance(entry, Format)}
"""The formats that are read, by name."""


def recognised(content: bytes) -> Format | Unreadable | None:
    """A file's format by its first bytes; None where they are of no format known here."""
    head = content[:HEAD_BYTES]
    return next((entry for entry in FORMATS if entry.recognises(head)), None)
