"""PNG, and the frames of an animated one (PNG specification, third edition)."""

from functools import partial

import cv2
import numpy as np

from services.detector.failures import BadPicture
from services.detector.formats.animation import frames
from services.detector.formats.chunks import (
    apng_frames,
    png_costs,
    png_is_whole,
    png_metadata,
    png_transparency,
)
from services.detector.formats.exif import orientation_of, parsed
from services.detector.formats.format import Format, Header, Pages, begins, damaged
from services.detector.formats.opencv import decoder
from services.detector.formats.png_cut import mended
from services.detector.models.model import Pixels
from services.detector.visible import OPAQUE, without_needless_alpha
from shared.reasons import Reason

_HEADER_END = 33

_GREY, _COLOURS, _GREY_ALPHA, _COLOURS_ALPHA = 0, 2, 4, 6  # colour types (11.2.1)


def _may_be_transparent(content: bytes | bytearray) -> bool:
    """By its head: a channel of alpha, or the chunk that names what is transparent."""
    return content[25] in (_GREY_ALPHA, _COLOURS_ALPHA) or png_transparency(content) is not None


_by_opencv = decoder(may_be_transparent=_may_be_transparent)


def _is_cut(content: bytes) -> bool:
    return not png_is_whole(content)


def _decode(content: bytes, header: Header, reduced: int) -> Pixels:
    """Only what is whole: OpenCV 4.14 allocates what a chunk claims, up to 4 GiB."""
    if not _is_cut(content):
        return _of_whole(content, header, reduced)
    whole = mended(content)
    if whole is None:
        raise BadPicture(
            Reason.TRUNCATED, "the PNG is truncated: the file ends before its first pixel"
        )
    return _of_whole(whole, header, reduced)


def _of_whole(content: bytes | bytearray, header: Header, reduced: int) -> Pixels:
    """OpenCV knows every kind of transparency but one: a grey that stands for it (11.3.1.1)."""
    pixels = _by_opencv(content, header, reduced)
    key = png_transparency(content) if content[25] == _GREY else None
    if key is None or len(key) < 2:
        return pixels
    depth = content[24]
    transparent = int.from_bytes(key[:2], "big") & ((1 << depth) - 1)
    if depth == 16:  # compared in full: many greys have the same high byte
        grey = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    else:
        grey = pixels[:, :, 0]
        transparent = transparent * 255 // ((1 << depth) - 1)
    alpha = np.where(grey == transparent, 0, OPAQUE).astype(np.uint8)
    return without_needless_alpha(np.dstack((pixels, alpha)))


def _read_header(content: bytes) -> Header:
    """By its chunks: Pillow unpacks a profile and a text as often as a file has them."""
    if content[12:16] != b"IHDR":
        raise damaged("PNG", "its first chunk is not its header")
    if len(content) < _HEADER_END:
        raise BadPicture(Reason.TRUNCATED, "the PNG is truncated: the file ends in its header")
    width, height = (int.from_bytes(content[at : at + 4], "big") for at in (16, 20))
    block, icc = png_metadata(content)
    exif = parsed(block)
    return Header("PNG", width, height, orientation_of(exif), icc, exif)


def _pages(content: bytes, header: Header) -> Pages | None:
    count = apng_frames(content)
    if count < 2:
        return None
    return Pages(count, partial(frames, content, header, "PNG", count))


PNG = Format(
    name="PNG",
    recognises=begins(b"\x89PNG\r\n\x1a\n"),
    costs=png_costs,
    read_header=_read_header,
    decode=_decode,
    pages=_pages,
    is_cut=_is_cut,
)
