"""PNG, and the frames of an animated one (PNG specification, third edition)."""

from functools import partial

from services.detector.failures import BadPicture
from services.detector.formats.animation import frames
from services.detector.formats.chunks import (
    apng_frames,
    png_costs,
    png_is_whole,
    png_metadata,
)
from services.detector.formats.exif import orientation_of, parsed
from services.detector.formats.format import Format, Header, Pages, begins, damaged
from services.detector.formats.opencv import decoder
from shared.reasons import Reason

_decode = decoder(ends_early=lambda content: b"IEND" not in content[-4096:])


def _read_header(content: bytes) -> Header:
    """By its chunks: Pillow unpacks a profile and a text as often as a file has them."""
    if not png_is_whole(content):
        raise BadPicture(
            Reason.DAMAGED,
            "the PNG is truncated or damaged: a chunk is longer than the file",
        )
    if content[12:16] != b"IHDR":
        raise damaged("PNG", "its first chunk is not its header")
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
)
