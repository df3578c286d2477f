"""Further pictures behind a JPEG (CIPA DC-007, Multi-Picture Format).

The other eye of a stereo picture, and the parts of a panorama or of a scene from several sides, are
pages. Previews are not, and neither is what says nothing of itself: gain maps and maps of depth.
"""

from collections.abc import Callable, Iterator
from functools import partial

from services.detector.failures import BadPicture
from services.detector.formats.directories import layout_of, read_directory
from services.detector.formats.format import Header, Pages, StoredPage
from services.detector.formats.jpeg_segments import head
from services.detector.models.model import Pixels
from shared.messages import PAGES_LIMIT

_NAME = b"MPF\0"
_ENTRIES = 0xB002
_ENTRY_BYTES = 16
_KIND = 0xFFFFFF
_VIEWS = frozenset({0x020001, 0x020002, 0x020003})
"""Kinds of pictures that are pages: of a panorama, of one eye, from another side."""

Whole = Callable[[bytes], tuple[Header, Callable[[], Pixels]]]
"""The header of a JPEG whose costs are judged, and what decodes it."""


def _views(content: bytes) -> list[tuple[int, int]]:
    """Where each further view begins and ends in the file, as the first picture's index says."""
    if _NAME not in content[: 1 << 20]:
        return []
    for segment in head(content):
        if segment.marker == 0xE2 and content.startswith(_NAME, segment.start):
            start = segment.start + len(_NAME)
            return list(_listed(content, start, content[start : segment.end]))
    return []


def _listed(content: bytes, start: int, index: bytes) -> Iterator[tuple[int, int]]:
    layout = layout_of(index)
    directory = read_directory(index, layout, layout.number(index, layout.first, layout.offset))
    count, held = directory.count(_ENTRIES) // _ENTRY_BYTES, directory.fields.get(_ENTRIES)
    if held is None:
        return
    table = int.from_bytes(held[2], layout.order)
    for number in range(1, min(count, PAGES_LIMIT)):
        at = table + number * _ENTRY_BYTES
        kind, size, place = (layout.number(index, at + part, 4) for part in (0, 4, 8))
        begins = start + place
        if kind & _KIND in _VIEWS and content.startswith(b"\xff\xd8\xff", begins):
            yield begins, begins + size


def pages(
    content: bytes, header: Header, whole: Whole, decode: Callable[[], Pixels]
) -> Pages | None:
    """The first picture and the views behind it; None where there are none."""
    views = _views(content)
    if not views:
        return None
    each = partial(_each, content, StoredPage(header, decode), views, whole)
    return Pages(1 + len(views), each, own_sizes=True)


def _each(
    content: bytes, first: StoredPage, views: list[tuple[int, int]], whole: Whole
) -> Iterator[StoredPage | BadPicture]:
    yield first
    for begins, ends in views:
        try:
            yield StoredPage(*whole(content[begins:ends]))
        except BadPicture as bad:
            yield bad
