"""PNG, and the frames of an animated one (PNG specification, third edition)."""

from functools import partial

from services.detector.failures import BadPicture
from services.detector.formats.animation import frames
from services.detector.formats.chunks import apng_frames, png_is_whole
from services.detector.formats.format import Format, Header, Pages, begins
from services.detector.formats.opencv import decoder
from services.detector.formats.pillow import header_by_pillow
from shared.reasons import Reason

_decode = decoder(ends_early=lambda content: b"IEND" not in content[-4096:])
_by_pillow = header_by_pillow("PNG", "PNG")


def _read_header(content: bytes) -> Header:
    if not png_is_whole(content):
        raise BadPicture(
            Reason.DAMAGED,
            "the PNG is truncated or damaged: a chunk is longer than the file",
        )
    return _by_pillow(content)


def _pages(content: bytes, header: Header) -> Pages | None:
    count = apng_frames(content)
    if count < 2:
        return None
    return Pages(count, partial(frames, content, header, "PNG", count))


PNG = Format(
    name="PNG",
    recognises=begins(b"\x89PNG\r\n\x1a\n"),
    read_header=_read_header,
    decode=_decode,
    pages=_pages,
)
