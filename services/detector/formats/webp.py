"""WebP, and the frames of an animated one (RFC 9649)."""

from functools import partial

from services.detector.failures import BadPicture
from services.detector.formats.animation import frames
from services.detector.formats.chunks import (
    riff_chunks,
    webp_costs,
    webp_frames,
    webp_is_cut,
    webp_size,
    webp_whole_frames,
)
from services.detector.formats.exif import orientation_of, parsed
from services.detector.formats.format import Format, Header, Pages
from services.detector.formats.opencv import decoder
from services.detector.formats.tolerant import truncated
from services.detector.models.model import Pixels
from shared.reasons import Reason

_by_opencv = decoder(
    ends_early=webp_is_cut,
    may_be_transparent=lambda _: True,  # libwebp gives alpha only where the file says so
)


def _decode(content: bytes, header: Header, reduced: int) -> Pixels:
    """Of an animation that is cut, the first frame if it is whole. A picture of one frame that is
    cut cannot be decoded: libwebp gives its rows only as they come, and no binding of it does."""
    try:
        return _by_opencv(content, header, reduced)
    except BadPicture as bad:
        if bad.reason is not Reason.TRUNCATED:
            raise
        return _by_opencv(_without_end(content), header, reduced)


def _without_end(content: bytes) -> bytes:
    whole = webp_whole_frames(content)
    if webp_frames(whole) < 2 and b"ANMF" not in riff_chunks(whole):
        raise truncated("WebP")
    return whole


def _read_header(content: bytes) -> Header:
    """By its chunks: Pillow would set up a canvas of the claimed size for it."""
    chunks = riff_chunks(content)
    size = webp_size(chunks)
    if size is None:
        raise BadPicture(Reason.DAMAGED, "the WebP is damaged or truncated: it holds no picture")
    exif = parsed(bytes(chunks.get(b"EXIF", b"")))
    return Header("WebP", *size, orientation_of(exif), bytes(chunks.get(b"ICCP", b"")), exif)


def _pages(content: bytes, header: Header) -> Pages | None:
    count = webp_frames(content)
    if count < 2:
        return None
    if webp_is_cut(content):
        content = _without_end(content)
    return Pages(count, partial(frames, content, header, "WEBP", count))


WEBP = Format(
    name="WebP",
    recognises=lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
    costs=webp_costs,
    read_header=_read_header,
    decode=_decode,
    pages=_pages,
    is_cut=webp_is_cut,
)
