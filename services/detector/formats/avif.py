"""AVIF, and the frames of a sequence (brand `avis`)."""

import io
from functools import partial

from PIL import Image

from services.detector.formats.animation import frames
from services.detector.formats.avif_items import costs, largest_coded
from services.detector.formats.costs import larger_than_told
from services.detector.formats.format import (
    HEAD_BYTES,
    Format,
    Header,
    Pages,
    branded,
    brands,
)
from services.detector.formats.opencv import decoder
from services.detector.formats.pillow import decode_transparent, header_by_pillow
from services.detector.models.model import Pixels

LARGER_CODED = 512
"""Pixels by which a side may be longer as coded than as told: a tile at the edge is cut."""

_ALPHA = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha", b"urn:mpeg:hevc:2015:auxid:1")
"""What names the item of alpha (ISO/IEC 23000-22, 7.3.5.2; MIAF)."""

_by_opencv = decoder()


def _decode(content: bytes, header: Header, reduced: int) -> Pixels:
    if any(name in content for name in _ALPHA):
        return decode_transparent(io.BytesIO(content), header, "AVIF")
    return _by_opencv(content, header, reduced)


_by_pillow = header_by_pillow("AVIF", "AVIF")


def _read_header(content: bytes) -> Header:
    """What is told is compared with what the coded pixels say, by which memory is taken."""
    header = _by_pillow(content)
    for width, height in largest_coded(content):
        if width > header.width + LARGER_CODED or height > header.height + LARGER_CODED:
            raise larger_than_told("AVIF", (header.width, header.height), (width, height))
    return header


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
    costs=costs,
    read_header=_read_header,
    decode=_decode,
    pages=_pages,
)
