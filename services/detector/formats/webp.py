"""WebP, and the frames of an animated one (RFC 9649)."""

from functools import partial

from services.detector.failures import BadPicture
from services.detector.formats.animation import frames
from services.detector.formats.chunks import riff_chunks, webp_costs, webp_frames, webp_size
from services.detector.formats.exif import orientation_of, parsed
from services.detector.formats.format import Format, Header, Pages
from services.detector.formats.opencv import decoder
from shared.reasons import Reason

_decode = decoder(
    ends_early=lambda content: int.from_bytes(content[4:8], "little") + 8 > len(content),
    may_be_transparent=lambda _: True,  # libwebp gives alpha only where the file says so
)


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
    return Pages(count, partial(frames, content, header, "WEBP", count))


WEBP = Format(
    name="WebP",
    recognises=lambda head: head[:4] == b"RIFF" and head[8:12] == b"WEBP",
    costs=webp_costs,
    read_header=_read_header,
    decode=_decode,
    pages=_pages,
)
