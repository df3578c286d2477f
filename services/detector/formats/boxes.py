"""The boxes of ISO files (ISO/IEC 14496-12, 4.2; the same in JPEG 2000, ISO/IEC 15444-1, I.4)."""

from collections.abc import Iterator
from dataclasses import dataclass

from services.detector.formats.costs import too_complex

BOXES = 10_000
"""Boxes side by side. A picture has some ten, and one of many tiles describes each by one."""


@dataclass(frozen=True)
class Box:
    """One box: its four letters, and where its body lies in the file."""

    kind: bytes
    start: int
    end: int


def boxes(name: str, content: bytes, start: int, end: int) -> Iterator[Box]:
    """The boxes between two places of a file of the format `name`; damage ends them.

    Raises:
        BadPicture: there are more than `BOXES`.
    """
    at, count = start, 0
    while at + 8 <= end:
        count += 1
        if count > BOXES:
            raise too_complex(name, "boxes side by side", count, BOXES)
        size, head = int.from_bytes(content[at : at + 4], "big"), 8
        kind = content[at + 4 : at + 8]
        if size == 1:
            size, head = int.from_bytes(content[at + 8 : at + 16], "big"), 16
        elif size == 0:  # up to the end
            size = end - at
        if size < head or at + size > end:
            size = end - at
        yield Box(kind, min(at + head, end), at + size)
        at += size
