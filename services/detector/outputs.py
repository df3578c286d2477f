"""The formats that annotated pictures are written in: one entry each.

By default that is JPEG. With `--format same` it is the input's own, where it is one of these; GIF,
whose 256 colours could not hold what is drawn, becomes PNG. What has no entry (AVIF, HEIC, BMP,
JPEG 2000, ...) becomes a JPEG, or a PNG where something is transparent.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from PIL import ExifTags, Image, PngImagePlugin, TiffImagePlugin, WebPImagePlugin

from services.detector.encode import encode_jpeg
from services.detector.failures import BadPicture
from services.detector.formats.format import Header
from services.detector.metadata import kept_exif, kept_icc
from services.detector.models.model import Pixels
from services.detector.visible import is_transparent
from shared.picture_keys import JPEG, PNG, TIFF, WEBP
from shared.reasons import Reason
from shared.recipe import OutputFormat, Recipe

# Imported for what they register: in a closed cell no plugin would be found.
_PLUGINS = (PngImagePlugin, TiffImagePlugin, WebPImagePlugin)

WEBP_LONGEST_SIDE = 16_383
"""Of a WebP (RFC 9649, 2.6: 14 bits)."""

_Base = ExifTags.Base
_FIRST_DIRECTORY = (8).to_bytes(4, "little")

PNG_COMPRESSION = 3
"""zlib's level: at 6, Pillow's own, files are some percent smaller and take twice as long."""


@dataclass(frozen=True)
class Output:
    """One format.

    Attributes:
        suffix: of its objects and files.
        encode: `(picture, header, recipe)` to a file. The picture is upright BGR, 8 bits, or BGRA
            where `keeps_alpha`. The file keeps of the header's metadata what may pass.
        keeps_alpha: whether it can be transparent.

    Raises (encode):
        BadPicture: a side is longer than the format allows.
        MemoryError: there is not enough memory.
    """

    suffix: str
    encode: Callable[[Pixels, Header, Recipe], bytes]
    keeps_alpha: bool = True


def _jpeg(picture: Pixels, header: Header, recipe: Recipe) -> bytes:
    exif, icc = kept_exif(header, recipe), kept_icc(header)
    return encode_jpeg(picture, recipe.jpeg_quality, exif, icc)


def _png(picture: Pixels, header: Header, recipe: Recipe) -> bytes:
    exif = kept_exif(header, recipe)
    return _by_pillow(picture, header, recipe, "PNG", exif, compress_level=PNG_COMPRESSION)


def _webp(picture: Pixels, header: Header, recipe: Recipe) -> bytes:
    height, width = picture.shape[:2]
    if max(height, width) > WEBP_LONGEST_SIDE:
        raise BadPicture(
            Reason.TOO_LONG_TO_DRAW,
            f"faces were found, but an annotated WebP cannot be {width} x {height} pixels "
            f"(at most {WEBP_LONGEST_SIDE:,} a side); run with --format jpeg",
        )
    exif = kept_exif(header, recipe)
    return _by_pillow(picture, header, recipe, "WEBP", exif, quality=recipe.jpeg_quality)


def _tiff(picture: Pixels, header: Header, recipe: Recipe) -> bytes:
    exif = kept_exif(header, recipe)
    written = _by_pillow(picture, header, recipe, "TIFF", b"", compression="tiff_lzw")
    return _tiff_with(written, exif) if exif else written


def _tiff_with(written: bytes, exif: bytes) -> bytes:
    """A TIFF of one page, with this EXIF: its directory made anew, its strips behind it.

    Pillow cannot write the directory of EXIF where libtiff packs the pixels.
    """
    kept = Image.Exif()
    kept.load(exif)
    with Image.open(io.BytesIO(written), formats=["TIFF"]) as opened:
        directory = TiffImagePlugin.ImageFileDirectory_v2(written[:8])
        for tag, value in opened.tag_v2.items():  # type: ignore[attr-defined]  # of a TIFF
            directory[tag] = value
    for tag, value in kept.items():
        inner = kept.get_ifd(tag) if tag in (ExifTags.IFD.Exif, ExifTags.IFD.GPSInfo) else value
        if inner or not isinstance(inner, dict):
            directory[tag] = inner
    offsets, counts = directory[_Base.StripOffsets], directory[_Base.StripByteCounts]
    first = min(offsets)
    last = max(at + size for at, size in zip(offsets, counts, strict=True))
    # Pillow takes them from the end of the directory.
    directory[_Base.StripOffsets] = tuple(at - first for at in offsets)
    return b"".join(
        (written[:4], _FIRST_DIRECTORY, directory.tobytes(8), memoryview(written)[first:last])
    )


def _by_pillow(
    picture: Pixels,
    header: Header,
    recipe: Recipe,
    plugin: str,
    exif: bytes,
    **options: int | str,
) -> bytes:
    swap = cv2.COLOR_BGRA2RGBA if is_transparent(picture) else cv2.COLOR_BGR2RGB
    image = Image.fromarray(np.asarray(cv2.cvtColor(picture, swap), np.uint8))
    metadata = {"exif": exif, "icc_profile": kept_icc(header)}
    written = io.BytesIO()
    kept = {name: value for name, value in metadata.items() if value}
    image.save(written, plugin, **options, **kept)
    return written.getvalue()


_JPEG = Output(JPEG, _jpeg, keeps_alpha=False)
_PNG = Output(PNG, _png)

SAME = {"PNG": _PNG, "GIF": _PNG, "WebP": Output(WEBP, _webp), "TIFF": Output(TIFF, _tiff)}
"""What `--format same` writes, by the name of the input's format."""


def output_of(picture: Pixels, header: Header, recipe: Recipe) -> Output:
    """The format of an annotated picture."""
    output = _JPEG
    if recipe.format is OutputFormat.SAME:
        output = SAME.get(header.format, _JPEG)
    return output if output.keeps_alpha or not is_transparent(picture) else _PNG
