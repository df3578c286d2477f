"""Headers read by Pillow, which decodes nothing of these formats when it opens a file."""

import io
import warnings
from collections.abc import Callable

from PIL import AvifImagePlugin, Image, TiffImagePlugin, WebPImagePlugin

from services.detector.formats.exif import orientation_of, parsed
from services.detector.formats.format import Header, damaged

# Imported for what they register, so that opening never searches for more plugins: in a closed cell
# it would find none.
_PLUGINS = (AvifImagePlugin, TiffImagePlugin, WebPImagePlugin)

# One slot, one thread: in a closed cell no other can be started.
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


def words(error: Exception) -> str:
    """What an error of Pillow says, for people."""
    told = str(error).strip().splitlines()
    return told[0][:120] if told and "<_io" not in told[0] else "its header cannot be read"
