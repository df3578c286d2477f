"""GIF, and the frames of an animated one (GIF89a specification, 1990)."""

import re
from collections.abc import Iterator
from functools import partial
from itertools import islice

from services.detector.failures import BadPicture
from services.detector.formats.animation import frames
from services.detector.formats.costs import too_complex
from services.detector.formats.format import (
    Format,
    Header,
    Pages,
    StoredPage,
    begins,
    damaged,
)
from services.detector.formats.opencv import decoder
from services.detector.formats.tolerant import decode_cut
from services.detector.models.model import Pixels
from shared.messages import PAGES_COUNTED
from shared.reasons import Reason

BLOCKS = 1_000_000
"""Blocks of a file. Encoders fill each with 255 bytes, so that a file of 256 MiB has not more,
unless it was made to take time: of blocks of one byte, as many in 3 MB."""

BETWEEN_BYTES = 64 << 10
"""Bytes between blocks, which no encoder writes. Pillow takes a step of Python for each."""

_FRAME, _EXTENSION, _END = 0x2C, 0x21, 0x3B
_BLOCK = re.compile(b"[,!;]")


def frame_corners(content: bytes) -> Iterator[tuple[int, int]]:
    """The right and lower edge of each frame, in pixels of the whole picture.

    Raises:
        BadPicture: there are more than `BLOCKS` blocks, or `BETWEEN_BYTES` between them.
    """
    for corner in _walk(content):
        if corner is not None:
            yield corner


def is_cut(content: bytes) -> bool:
    """Whether a GIF lacks the byte that ends it, and a block of it is not whole."""
    return None in _walk(content)


def _walk(content: bytes) -> Iterator[tuple[int, int] | None]:
    """What `frame_corners` gives, and None where the file ends within a block."""
    at = 13 + _table_bytes(content[10:11])
    blocks = between = 0
    inside = False
    try:
        while (kind := content[at]) != _END:
            inside = True
            at += 1
            if kind == _FRAME:
                x, y, width, height = (
                    int.from_bytes(content[at + n : at + n + 2], "little") for n in (0, 2, 4, 6)
                )
                at += 10 + _table_bytes(content[at + 8 : at + 9])
                yield x + width, y + height
            elif kind == _EXTENSION:
                at += 1
            else:
                following = _next_block(content, at)
                between += following - at + 1
                if between > BETWEEN_BYTES:
                    raise too_complex("GIF", "bytes between blocks", between, BETWEEN_BYTES)
                at = following
                inside = False
                continue
            size = 1
            while size:
                size = content[at]
                at += size + 1
                blocks += 1
                if blocks > BLOCKS:
                    raise too_complex("GIF", "blocks", blocks, BLOCKS)
            inside = False
    except IndexError:
        # Some programs leave out the last byte: all blocks are whole then.
        if at > len(content) or inside:
            yield None


def _next_block(content: bytes, at: int) -> int:
    """Where a block begins that was not found where it should be; decoders look for it so."""
    found = _BLOCK.search(content, at)
    return found.start() if found else len(content)


def costs(content: bytes) -> None:
    """Refuse a GIF of too many blocks.

    Raises:
        BadPicture: it has them.
    """
    if len(content) // 2 > BLOCKS:  # each takes two bytes or more
        for _ in islice(frame_corners(content), PAGES_COUNTED):
            pass


def _table_bytes(flags: bytes) -> int:
    """Bytes of the colour table that a byte of flags announces."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


_by_opencv = decoder(may_be_transparent=lambda _: True)


def _decode(content: bytes, header: Header, reduced: int) -> Pixels:
    if is_cut(content):
        return decode_cut(content, header, "GIF")
    return _by_opencv(content, header, reduced)


def _read_header(content: bytes) -> Header:
    """By its blocks: Pillow takes a step of Python for each. A first frame that goes beyond the
    screen makes the picture larger, as decoders have it."""
    first = next(frame_corners(content), None)
    if first is None:
        raise damaged("GIF", "it holds no picture")
    width, height = (int.from_bytes(content[at : at + 2], "little") for at in (6, 8))
    return Header("GIF", max(width, first[0]), max(height, first[1]))


def _pages(content: bytes, header: Header) -> Pages | None:
    corners = list(islice(frame_corners(content), PAGES_COUNTED))
    if len(corners) < 2:
        return None
    outside = (
        number
        for number, (right, bottom) in enumerate(corners, start=1)
        if number > 1 and (right > header.width or bottom > header.height)
    )
    return Pages(len(corners), partial(_each, content, header, len(corners), next(outside, None)))


def _each(
    content: bytes, header: Header, count: int, outside: int | None
) -> Iterator[StoredPage | BadPicture]:
    """The frames; up to one that lies outside, for which Pillow would make the picture larger."""
    yield from frames(
        content, header, "GIF", outside - 1 if outside else count, cut=is_cut(content)
    )
    if outside:
        yield BadPicture(Reason.DAMAGED, f"frame {outside} of the GIF lies outside of the picture")


GIF = Format(
    name="GIF",
    recognises=begins(b"GIF87a", b"GIF89a"),
    costs=costs,
    read_header=_read_header,
    decode=_decode,
    pages=_pages,
    is_cut=is_cut,
)
