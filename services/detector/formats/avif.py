"""AVIF, and the frames of a sequence (brand `avis`)."""

import io
from functools import partial

from PIL import Image

from services.detector.formats.animation import frames
from services.detector.formats.format import (
    HEAD_BYTES,
    Format,
    Header,
    Pages,
    branded,
    brands,
)
from services.detector.formats.opencv import decoder
from services.detector.formats.pillow import header_by_pillow

_decode = decoder()


def _pages(content: bytes, header: Header) -> Pages | None:
    if b"avis" not in brands(content[:HEAD_BYTES]):
        return None
    with Image.open(io.BytesIO(content), formats=["AVIF"]) as opened:  # the header was read so
        count = int(getattr(opened, "n_frames", 1))
    if count < 2:
        return None
    return Pages(count, partial(frames, content, header, "AVIF", count))


AVIF = Format(
    name="AVIF",
    recognises=branded(b"avif", b"avis"),
    read_header=header_by_pillow("AVIF", "AVIF"),
    decode=_decode,
    pages=_pages,
)
