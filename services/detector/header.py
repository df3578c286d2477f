"""What a file says it is, read before any pixel is decoded: format, size, orientation, metadata."""

import io
import warnings
from dataclasses import dataclass, field

from PIL import (
    AvifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    MpoImagePlugin,
    TiffImagePlugin,
)

from services.detector.chunks import png_is_whole, riff_chunks, webp_size

# Imported for what they register, so that opening never searches for more plugins.
_PLUGINS = (AvifImagePlugin, Jpeg2KImagePlugin, MpoImagePlugin, TiffImagePlugin)

# The size that a file claims is checked here, against a setting, before anything is decoded.
Image.MAX_IMAGE_PIXELS = None

ORIENTATION = 0x0112


class BadPicture(Exception):
    """This file can never be searched; the text says why, in plain words."""


@dataclass(frozen=True)
class Header:
    """`width` and `height` are of the stored picture, before `orientation` (EXIF, 1 to 8)."""

    format: str
    width: int
    height: int
    orientation: int = 1
    icc: bytes = b""
    exif: Image.Exif = field(default_factory=Image.Exif)


def read_header(content: bytes, max_pixels: int) -> Header:
    """Read a file's header, and refuse what is no picture or claims too many pixels.

    Raises:
        BadPicture: with the reason.
    """
    if not content:
        raise BadPicture("the file is empty")
    name = sniff(content)
    if name in UNREADABLE:
        raise BadPicture(f"{name} files cannot be read by this build; convert it to JPEG or PNG")
    if name not in READABLE:
        raise BadPicture("not a picture that this build knows")
    if name == "PNG" and not png_is_whole(content):
        raise BadPicture("the PNG is truncated or damaged: a chunk is longer than the file")
    header = _webp(content) if name == "WebP" else _opened(content, name)
    if header.width < 1 or header.height < 1:
        raise BadPicture(f"the {name} claims to be {header.width} x {header.height} pixels")
    if header.width * header.height > max_pixels:
        raise BadPicture(
            f"the {name} claims {header.width} x {header.height} pixels, "
            f"more than the {max_pixels:,} allowed (FACES_MAX_PIXELS)"
        )
    return header


READABLE = {
    "JPEG": "JPEG",
    "PNG": "PNG",
    "WebP": "WEBP",
    "AVIF": "AVIF",
    "TIFF": "TIFF",
    "BMP": "BMP",
    "GIF": "GIF",
    "JPEG 2000": "JPEG2000",
    "PPM": "PPM",
}
"""Formats that are read, with the names of Pillow's plugins."""

UNREADABLE = frozenset(
    {"HEIC", "JPEG XL", "PSD", "PDF", "SVG", "ICO", "camera raw", "MP4 video", "Matroska video"}
)
"""Formats that are recognised, so that a person can be told which one it is."""

_MAGIC = (
    (b"\xff\xd8\xff", "JPEG"),
    (b"\x89PNG\r\n\x1a\n", "PNG"),
    (b"II*\0\x10\0\0\0CR", "camera raw"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"II+\0", "TIFF"),
    (b"MM\0+", "TIFF"),
    (b"BM", "BMP"),
    (b"GIF87a", "GIF"),
    (b"GIF89a", "GIF"),
    (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
    (b"\xffO\xffQ", "JPEG 2000"),
    (b"P4", "PPM"),
    (b"P5", "PPM"),
    (b"P6", "PPM"),
    (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
    (b"\xff\n", "JPEG XL"),
    (b"8BPS", "PSD"),
    (b"%PDF", "PDF"),
    (b"\0\0\x01\0", "ICO"),
    (b"FUJIFILMCCD-RAW", "camera raw"),
    (b"\x1aE\xdf\xa3", "Matroska video"),
)

_BRANDS = {
    b"avif": "AVIF",
    b"avis": "AVIF",
    b"crx ": "camera raw",
    b"heic": "HEIC",
    b"heix": "HEIC",
    b"heim": "HEIC",
    b"heis": "HEIC",
    b"hevc": "HEIC",
    b"hevx": "HEIC",
    b"mif1": "HEIC",
    b"msf1": "HEIC",
}


def sniff(content: bytes) -> str:
    """Name of a file's format by its first bytes; '' where they are of no format known here."""
    head = content[:64]
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return "WebP"
    if head[4:8] == b"ftyp":
        brands = [head[8:12], *(head[at : at + 4] for at in range(16, 64, 4))]
        known = [_BRANDS[brand] for brand in brands if brand in _BRANDS]
        return "AVIF" if "AVIF" in known else known[0] if known else "MP4 video"
    for magic, name in _MAGIC:
        if head.startswith(magic):
            return name
    start = head.lstrip().lower()
    return "SVG" if start.startswith((b"<svg", b"<?xml")) else ""


def _opened(content: bytes, name: str) -> Header:
    """By Pillow, which reads headers of these formats without decoding."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            with Image.open(io.BytesIO(content), formats=[READABLE[name]]) as opened:
                width, height = opened.size
                # Not `getexif`, which decodes the whole picture where a PNG has no EXIF.
                exif = opened.getexif() if name == "TIFF" else _exif(opened.info.get("exif"))
                icc = opened.info.get("icc_profile") or b""
        except MemoryError:
            raise
        except Exception as error:  # noqa: BLE001 - parsers of damaged files raise anything
            raise BadPicture(f"the {name} is damaged or truncated: {_words(error)}") from None
    # OpenCV turns a TIFF upright itself, and Pillow tells its size after turning.
    orientation = 1 if name == "TIFF" else _orientation(exif)
    return Header(name, width, height, orientation, icc, exif)


def _words(error: Exception) -> str:
    told = str(error).strip().splitlines()
    return told[0][:120] if told and "<_io" not in told[0] else "its header cannot be read"


def _orientation(exif: Image.Exif) -> int:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value = exif.get(ORIENTATION)  # values are parsed only here
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - parsers of damaged metadata raise anything
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def _webp(content: bytes) -> Header:
    """By its chunks: Pillow would set up a canvas of the claimed size for it."""
    chunks = riff_chunks(content)
    size = webp_size(chunks)
    if size is None:
        raise BadPicture("the WebP is damaged or truncated: it holds no picture")
    exif = _exif(bytes(chunks.get(b"EXIF", b"")))
    return Header("WebP", *size, _orientation(exif), bytes(chunks.get(b"ICCP", b"")), exif)


def _exif(block: object) -> Image.Exif:
    """An EXIF block, parsed; nothing where it is absent or damaged: the picture matters more."""
    exif = Image.Exif()
    if isinstance(block, bytes) and block:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                exif.load(block)
        except MemoryError:
            raise
        except Exception:  # noqa: BLE001 - parsers of damaged metadata raise anything
            return Image.Exif()
    return exif
