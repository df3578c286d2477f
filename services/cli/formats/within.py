"""Boxes inside their pictures: a model may see a face reach over the edge, a region cannot.

Every export gives boxes so; the catalog keeps the numbers of the model.
"""

from collections.abc import AsyncIterator
from dataclasses import replace

from services.cli.formats.registry import Rows
from shared.catalog import ImageRow
from shared.messages import Face


def within(rows: Rows) -> Rows:
    """The same rows, with the boxes of faces cut at the edges of their pictures."""

    async def cut(faces: bool) -> AsyncIterator[ImageRow]:
        async for row in rows(faces):
            yield row_within(row)

    return cut


def row_within(row: ImageRow) -> ImageRow:
    """A row with the boxes of its faces cut at the edges of its picture, or of their pages.

    A box that lies outside altogether keeps its place at the edge, with no width or height. Where
    no size is known boxes stay as they are. Landmarks are points and are not moved.
    """
    if not row.faces:
        return row
    sizes = {page.n: (page.width, page.height) for page in row.searched}
    whole = (row.width, row.height)
    return replace(
        row, faces=tuple(_cut(face, sizes.get(face.page or 0, whole)) for face in row.faces)
    )


def _cut(face: Face, size: tuple[int | None, int | None]) -> Face:
    width, height = size
    if not width or not height:
        return face
    left, right = (min(max(x, 0), width) for x in (face.x, face.x + face.w))
    top, bottom = (min(max(y, 0), height) for y in (face.y, face.y + face.h))
    if (left, top, right, bottom) == (face.x, face.y, face.x + face.w, face.y + face.h):
        return face
    box = {"x": left, "y": top, "w": right - left, "h": bottom - top}
    return face.model_copy(update={name: round(value, 2) for name, value in box.items()})
