"""The columns of an image and of a face, by the names of the catalog: every format has these.

A new field of `ImageRow` or `Face` is a new column of every format.
"""

from dataclasses import fields
from datetime import datetime

from shared.catalog import ImageRow
from shared.messages import Face

NESTED = ("faces", "searched")
"""Fields that are lists: the faces, and the pages of a document that were looked at."""

COLUMNS = tuple(one.name for one in fields(ImageRow) if one.name not in ("cursor", *NESTED))

FACE_COLUMNS = tuple(Face.model_fields)

LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner")
"""Of the person, not of the picture."""


def as_dict(row: ImageRow) -> dict[str, object]:
    """An image for JSON: its columns, its faces (`n` from 0), and a document's pages."""
    image: dict[str, object] = {}
    for name in COLUMNS:
        value = getattr(row, name)
        image[name] = value.isoformat() if isinstance(value, datetime) else value
    image["searched"] = [page.model_dump() for page in row.searched]
    image["faces"] = [{"n": n, **face.model_dump()} for n, face in enumerate(row.faces)]
    return image


def pages_told(row: ImageRow) -> str:
    """How many pages a document has, and how many of them were searched; '' of a picture."""
    searched = sum(not page.reason for page in row.searched)
    if row.pages == 1 and not row.searched:
        return ""
    if searched == row.pages:
        return f"{row.pages:,} pages" if row.pages > 1 else "1 page"
    return f"{searched:,} of {row.pages:,} pages searched"


def cut_told(row: ImageRow) -> str:
    """That a file ends before its picture does; '' of any other."""
    return "cut: the file ends before its picture does" if row.cut else ""


def page_of(row: ImageRow, number: int | None) -> str:
    """Which page of a document: `page 3 of 12`; '' of a picture."""
    return "" if number is None else f"page {number:,} of {row.pages:,}"
