"""Headers read by Pillow, which decodes nothing of these formats when it opens a file; and pixels
with alpha, where OpenCV cannot give it."""

import io
import warnings
from collections.abc import Callable
from typing import BinaryIO

import numpy as np
from PIL import (
    AvifImagePlugin,
    Image,
    Jpeg2KImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from services.detector.failures import BadPicture
from services.detector.formats.exif import orientation_of, parsed
from services.detector.formats.format import Header, damaged
from services.detector.models.model import Pixels
from services.detector.visible import without_needless_alpha
from shared.reasons import Reason

# Imported for what they register, so that opening never searches for more plugins: in a closed cell
# it would find none.
_PLUGINS = (AvifImagePlugin, Jpeg2KImagePlugin, TiffImagePlugin, WebPImagePlugin)

# One slot, one CPU: threads would only wait for each other.
AvifImagePlugin.DEFAULT_MAX_THREADS = 1

# The size that a file claims is checked against a setting before anything is decoded.
Image.MAX_IMAGE_PIXELS = None


def header_by_pillow(name: str, plugin: str) -> Callable[[bytes], Header]:
    """A reader of headers for the format `name`, by one of Pillow's plugins and no other."""

    def read_header(content: bytes) -> Header:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                with Image.open(io.BytesIO(content), formats=[plugin]) as opened:
                    width, height = opened.size
                    # Not `getexif`, which decodes the whole picture where a PNG has no EXIF.
                    exif = parsed(opened.info.get("exif"))
                    icc = opened.info.get("icc_profile") or b""
            except MemoryError:
                raise
            except Exception as error:  # noqa: BLE001 - parsers of damaged files raise anything
                raise damaged(name, words(error)) from None
        return Header(name, width, height, orientation_of(exif), icc, exif)

    return read_header


def bgra_of(opened: Image.Image) -> Pixels:
    """The pixels of an opened picture: BGR, or BGRA with straight alpha where one is not opaque."""
    if not opened.has_transparency_data:
        return np.ascontiguousarray(np.asarray(opened.convert("RGB"), np.uint8)[:, :, ::-1])
    pixels = np.asarray(opened.convert("RGBA"), np.uint8)
    return without_needless_alpha(np.ascontiguousarray(pixels[:, :, (2, 1, 0, 3)]))


def decode_transparent(source: BinaryIO, header: Header, plugin: str) -> Pixels:
    """The pixels of a picture with alpha, as stored (of a TIFF, upright).

    Raises:
        BadPicture: it cannot be decoded, or is not as large as it claims.
        MemoryError: there is not enough memory.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            with Image.open(source, formats=[plugin]) as opened:
                pixels = bgra_of(opened)
    except MemoryError:
        raise
    except Exception:  # noqa: BLE001 - decoders of damaged files raise anything
        raise BadPicture(
            Reason.DAMAGED,
            f"the {header.format} is damaged, or of a variant that this build cannot read",
        ) from None
    if pixels.shape[:2] != (header.height, header.width):
        claims = f"{header.width} x {header.height} pixels"
        raise BadPicture(Reason.DAMAGED, f"the {header.format} claims {claims} and holds others")
    return pixels


def words(error: Exception) -> str:
    """What an error of Pillow says, for people."""
    told = str(error).strip().splitlines()
    return told[0][:120] if told and "<_io" not in told[0] else "its header cannot be read"
