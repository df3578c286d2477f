"""The formats of files: one entry each, in the order in which a file is tried against them."""

from services.detector.formats.avif import AVIF
from services.detector.formats.format import HEAD_BYTES, Format, Unreadable, begins
from services.detector.formats.gif import GIF
from services.detector.formats.heic import HEIC
from services.detector.formats.jpeg import JPEG
from services.detector.formats.jpeg_2000 import JPEG_2000
from services.detector.formats.jpeg_xl import JPEG_XL
from services.detector.formats.plain import BMP, PPM
from services.detector.formats.png import PNG
from services.detector.formats.psd import PSD
from services.detector.formats.raw import CAMERA_RAW
from services.detector.formats.raw_files import is_raw_tiff
from services.detector.formats.tiff import TIFF
from services.detector.formats.webp import WEBP

FORMATS: tuple[Format | Unreadable, ...] = (
    JPEG,
    PNG,
    WEBP,
    AVIF,
    CAMERA_RAW,
    HEIC,
    Unreadable("MP4 video", lambda head: head[4:8] == b"ftyp"),
    TIFF,
    GIF,
    BMP,
    JPEG_2000,
    PPM,
    JPEG_XL,
    PSD,
    Unreadable("OpenEXR", begins(b"v/1\x01")),
    Unreadable("Radiance HDR", begins(b"#?RADIANCE", b"#?RGBE")),
    Unreadable("DirectDraw Surface", begins(b"DDS ")),
    Unreadable("JPEG XR", begins(b"II\xbc\x01")),
    Unreadable("QOI", begins(b"qoif")),
    Unreadable("PAM", begins(b"P7\n")),
    Unreadable("PFM", begins(b"PF\n", b"Pf\n")),
    Unreadable("FITS", begins(b"SIMPLE  =")),
    Unreadable("XCF", begins(b"gimp xcf")),
    Unreadable("MNG", begins(b"\x8aMNG\r\n\x1a\n", b"\x8bJNG\r\n\x1a\n")),
    Unreadable("SGI", begins(b"\x01\xda\x00", b"\x01\xda\x01")),
    Unreadable("Sun raster", begins(b"\x59\xa6\x6a\x95")),
    Unreadable("BPG", begins(b"BPG\xfb")),
    Unreadable("DjVu", begins(b"AT&TFORM")),
    Unreadable("PostScript", begins(b"%!PS", b"\xc5\xd0\xd3\xc6")),
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
    found = next((entry for entry in FORMATS if entry.recognises(head)), None)
    return CAMERA_RAW if found is TIFF and is_raw_tiff(content) else found
