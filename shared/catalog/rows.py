"""Rows of `images` as values, with their pages and faces."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import fields
from operator import attrgetter
from typing import Any, NamedTuple

from sqlalchemy import Row
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import bulk
from shared.catalog.current import Currency
from shared.catalog.schema import found_faces, pages
from shared.catalog.texts import unpack
from shared.catalog.values import ImageRow
from shared.messages import Face, Kind, Page, Status

Rows = Sequence[Row[Any]]
"""Of `images`. (Any: a row mixes the types of its columns.)"""


_MADE_HERE = {"cursor", "status", "detect_ms", "drawing", "current", "searched", "faces"}
_AS_THEY_ARE = [field.name for field in fields(ImageRow) if field.name not in _MADE_HERE]
"""Fields of a value that are columns: a new column is one line in `ImageRow`."""

_values = attrgetter(*_AS_THEY_ARE)


async def as_images(
    connection: AsyncConnection, rows: Rows, *, faces: bool = True
) -> list[ImageRow]:
    """Rows as values; their faces are read only if asked for."""
    with_faces = [row.pk for row in rows if row.face_count] if faces else []
    documents = [row.pk for row in rows if row.kind != Kind.PICTURE]
    faces_of = await _faces(connection, with_faces)
    pages_of = await _pages(connection, documents)
    return [
        ImageRow(
            cursor=row.pk,
            status=Status(row.status),
            detect_ms=None if row.detect_ms is None else round(row.detect_ms, 2),
            drawing=row.drawing if row.annotated_uri else None,
            current=row.current == Currency.CURRENT,
            searched=pages_of.get(row.pk, ()),
            faces=faces_of.get(row.pk, ()),
            **dict(zip(_AS_THEY_ARE, _values(row), strict=True)),
        )
        for row in rows
    ]


class _FoundFace(NamedTuple):
    image: int
    x: float
    y: float
    w: float
    h: float
    score: float
    landmarks: bytes | None
    page: int | None


async def _faces(connection: AsyncConnection, keys: Sequence[int]) -> dict[int, tuple[Face, ...]]:
    """The faces of some rows, by their keys; boxes to a hundredth of a pixel."""
    rows = await bulk.select(
        connection,
        found_faces,
        {"image": keys},
        "SELECT found_faces.image, x, y, w, h, score, landmarks, page FROM {given} "
        "JOIN found_faces ON found_faces.image = given.image ORDER BY found_faces.image, n",
        _FoundFace,
    )
    found: defaultdict[int, list[Face]] = defaultdict(list)
    for row in rows:
        face = Face(
            x=round(row.x, 2),
            y=round(row.y, 2),
            w=round(row.w, 2),
            h=round(row.h, 2),
            score=round(row.score, 4),
            landmarks=unpack(row.landmarks),
            page=row.page,
        )
        found[row.image].append(face)
    return {key: tuple(faces) for key, faces in found.items()}


class _SearchedPage(NamedTuple):
    image: int
    n: int
    width: int | None
    height: int | None
    reason: str


async def _pages(connection: AsyncConnection, keys: Sequence[int]) -> dict[int, tuple[Page, ...]]:
    """The pages of some documents, by their keys."""
    rows = await bulk.select(
        connection,
        pages,
        {"image": keys},
        "SELECT pages.image, n, width, height, reason FROM {given} "
        "JOIN pages ON pages.image = given.image ORDER BY pages.image, n",
        _SearchedPage,
    )
    found: defaultdict[int, list[Page]] = defaultdict(list)
    for row in rows:
        page = Page(n=row.n, width=row.width, height=row.height, reason=row.reason)
        found[row.image].append(page)
    return {key: tuple(pages) for key, pages in found.items()}
