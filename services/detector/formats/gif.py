"""GIF, and the frames of an animated one (GIF89a specification, 1990)."""

from collections.abc import Iterator
from functools import partial
from itertools import islice

from services.detector.failures import BadPicture
from services.detector.formats.animation import frames
from services.detector.formats.format import Format, Header, Pages, StoredPage, begins
from services.detector.formats.opencv import decoder
from services.detector.formats.pillow import header_by_pillow
from shared.messages import PAGES_COUNTED
from shared.reasons import Reason

BLOCKS_READ = 4_000_000
"""Blocks of data that are passed over in search of frames: more than a file of 256 MiB has, unless
it was made to take time."""

_FRAME, _EXTENSION, _END = 0x2C, 0x21, 0x3B


def frame_corners(content: bytes) -> Iterator[tuple[int, int]]:
    """The right and lower edge of each frame, in pixels of the whole picture; bounded in time."""
    at = 13 + _table_bytes(content[10:11])
    left = BLOCKS_READ
    try:
        while left > 0:
            kind = content[at]
            if kind == _END:
                return
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
                left -= 1
                continue
            while left > 0:
                left -= 1
                size = content[at]
                at += size + 1
                if not size:
                    break
    except IndexError:
        return


def _table_bytes(flags: bytes) -> int:
    """Bytes of the colour table that a byte of flags announces."""
    return 3 << ((flags[0] & 7) + 1) if flags and flags[0] & 0x80 else 0


_decode = decoder()


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
    yield from frames(content, header, "GIF", outside - 1 if outside else count)
    if outside:
        yield BadPicture(Reason.DAMAGED, f"frame {outside} of the GIF lies outside of the picture")


GIF = Format(
    name="GIF",
    recognises=begins(b"GIF87a", b"GIF89a"),
    read_header=header_by_pillow("GIF", "GIF"),
    decode=_decode,
    pages=_pages,
)
