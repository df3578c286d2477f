"""Questions people have: which pictures, in pages; one picture's history."""

import operator
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Row, Select, exists, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import bulk, globs, plans
from shared.catalog.schema import found_faces, images, memberships, recipes, submissions
from shared.catalog.texts import safe, unpack
from shared.catalog.values import ImageRow, QueuedImage, QueuedRow
from shared.messages import Face, Kind, Page, Status
from shared.recipe import Recipe

PAGE = 500
"""Rows read at a time when all are wanted: a stream of a million holds no more than these."""


@dataclass(frozen=True)
class Filter:
    """Which images; what is left out does not matter, and all that is given must hold.

    `name` is a pattern (see `globs`). `min_score` asks for a face at least that certain,
    `max_score` for one at most that certain. `since` and `until` are of the commit.
    """

    statuses: tuple[Status, ...] = ()
    name: str | None = None
    min_faces: int | None = None
    max_faces: int | None = None
    min_score: float | None = None
    max_score: float | None = None
    since: datetime | None = None
    until: datetime | None = None
    submission: str | None = None
    recipe: str | None = None
    image: str | None = None

    @property
    def few(self) -> int:
        """Fewer rows than this are found first and sorted then; see `plans`."""
        if any(value is not None for value in (self.name, self.since, self.until)):
            return plans.FEW_TOGETHER
        others = (self.min_faces, self.max_faces, self.min_score, self.max_score)
        return plans.FEW_SPREAD if any(value is not None for value in others) else 0

    def conditions(self, postgres: bool) -> list[ColumnElement[bool]]:
        """What must hold of a row of `images`, but for the submission."""
        row = images.c
        chosen = [
            compare(column, value)
            for compare, column, value in (
                (operator.ge, row.face_count, self.min_faces),
                (operator.le, row.face_count, self.max_faces),
                (operator.ge, row.best_score, self.min_score),
                (operator.le, row.least_score, self.max_score),
                (operator.ge, row.committed_at, self.since),
                (operator.lt, row.committed_at, self.until),
                (operator.eq, row.recipe, self.recipe),
                (operator.eq, row.id, self.image),
            )
            if value is not None
        ]
        if self.statuses:
            chosen.append(row.status.in_([status.value for status in self.statuses]))
        if self.name is not None:
            chosen.append(globs.matches(safe(self.name), postgres))
        if self.min_score is not None or self.max_score is not None:
            chosen.append(row.face_count > 0)  # as the indexes of scores say
        if self.min_score is not None and self.max_score is not None:
            limits = (self.min_score, self.max_score)
            one = exists().where(
                found_faces.c.image == row.pk, found_faces.c.score.between(*limits)
            )
            ends = (row.best_score.between(*limits), row.least_score.between(*limits))
            chosen.append(or_(*ends, one))
        return chosen


def chosen(filter_: Filter, postgres: bool) -> Select[Any]:
    """The rows of a filter, without order. (Any: a row mixes the types of its columns.)"""
    query = select(images).where(*filter_.conditions(postgres))
    if filter_.submission is not None:
        key = select(submissions.c.pk).where(submissions.c.id == filter_.submission)
        query = query.join(memberships, memberships.c.image == images.c.pk).where(
            memberships.c.submission == key.scalar_subquery()
        )
    return query


async def page(
    connection: AsyncConnection, filter_: Filter, after: int, limit: int, faces: bool = True
) -> list[ImageRow]:
    """At most `limit` rows in the order in which they were first queued, behind row `after`."""
    postgres = connection.dialect.name == "postgresql"
    key = images.c.pk if filter_.submission is None else memberships.c.image
    query = chosen(filter_, postgres).where(key > after)
    keys = query.with_only_columns(key)
    few = filter_.few if postgres else 0
    if few:
        await plans.for_these_values(connection)
    if few and await plans.estimate(connection, keys) < few:
        query = plans.sort_late(keys, limit)
    else:
        query = query.order_by(key).limit(limit)
    rows = (await connection.execute(query)).all()
    return await as_images(connection, rows, faces)


async def named(connection: AsyncConnection, name_or_id: str, recipe: str | None) -> list[ImageRow]:
    """The rows of one picture, by its identity or its whole name; newest recipe last."""
    rows: Sequence[Row[Any]] = ()
    for column in (images.c.id, images.c.name):
        query = select(images).where(column == safe(name_or_id))
        if recipe is not None:
            query = query.where(images.c.recipe == recipe)
        rows = rows or (await connection.execute(query.order_by(images.c.pk).limit(PAGE))).all()
    return await as_images(connection, rows, faces=True)


async def queued(
    connection: AsyncConnection, submission: str | None, after: int, limit: int
) -> list[QueuedRow]:
    """Rows that are queued, in pages: what would have to be handed on if Redis had lost it."""
    filter_ = Filter(statuses=(Status.QUEUED,), submission=submission)
    query = chosen(filter_, connection.dialect.name == "postgresql")
    query = (
        query.add_columns(recipes.c.json)
        .join(recipes, recipes.c.id == images.c.recipe)
        .where(images.c.pk > after)
        .order_by(images.c.pk)
        .limit(limit)
    )
    return [
        QueuedRow(
            cursor=row.pk,
            image=QueuedImage(row.id, row.name, row.source_uri, row.source_version, row.bytes),
            recipe=Recipe.model_validate_json(row.json),
            generation=row.generation,
            submission=row.submission_id,
            queued_at=row.queued_at,
        )
        for row in await connection.execute(query)
    ]


async def as_images(
    connection: AsyncConnection, rows: Sequence[Row[Any]], faces: bool
) -> list[ImageRow]:
    """Rows of `images` as values, with their pages, and with their faces if these are asked for.

    (Any: a row mixes the types of its columns.)
    """
    found = await _faces(connection, [row.pk for row in rows if row.face_count]) if faces else {}
    documents = [row.pk for row in rows if row.kind != Kind.PICTURE]
    pages = await _pages(connection, documents)
    return [as_image(row, pages.get(row.pk, ()), found.get(row.pk, ())) for row in rows]


async def _pages(connection: AsyncConnection, keys: Sequence[int]) -> dict[int, tuple[Page, ...]]:
    rows = await bulk.select(
        connection,
        [("image", "bigint")],
        [(key,) for key in keys],
        "SELECT pages.image, n, width, height, reason FROM {given} "
        "JOIN pages ON pages.image = given.image ORDER BY pages.image, n",
    )
    found: dict[int, list[Page]] = {}
    for key, n, width, height, reason in rows:
        found.setdefault(key, []).append(Page(n=n, width=width, height=height, reason=reason))
    return {key: tuple(pages) for key, pages in found.items()}


async def _faces(connection: AsyncConnection, keys: Sequence[int]) -> dict[int, tuple[Face, ...]]:
    rows = await bulk.select(
        connection,
        [("image", "bigint")],
        [(key,) for key in keys],
        "SELECT found_faces.image, x, y, w, h, score, landmarks, page FROM {given} "
        "JOIN found_faces ON found_faces.image = given.image ORDER BY found_faces.image, n",
    )
    found: dict[int, list[Face]] = {}
    for key, x, y, w, h, score, landmarks, page in rows:
        face = Face(
            x=round(x, 2),
            y=round(y, 2),
            w=round(w, 2),
            h=round(h, 2),
            score=round(score, 4),
            landmarks=unpack(landmarks),
            page=page,
        )
        found.setdefault(key, []).append(face)
    return {key: tuple(faces) for key, faces in found.items()}


def as_image(row: Row[Any], searched: tuple[Page, ...], faces: tuple[Face, ...]) -> ImageRow:
    """A row of `images` as a value. (Any: a row mixes the types of its columns.)"""
    return ImageRow(
        cursor=row.pk,
        id=row.id,
        recipe=row.recipe,
        generation=row.generation,
        submission_id=row.submission_id,
        source_uri=row.source_uri,
        source_version=row.source_version,
        name=row.name,
        bytes=row.bytes,
        width=row.width,
        height=row.height,
        format=row.format,
        status=Status(row.status),
        face_count=row.face_count,
        annotated_uri=row.annotated_uri,
        reason=row.reason,
        attempts=row.attempts,
        consumer=row.consumer,
        queued_at=row.queued_at,
        detected_at=row.detected_at,
        committed_at=row.committed_at,
        detect_ms=None if row.detect_ms is None else round(row.detect_ms, 2),
        code=row.code,
        taken_at=row.taken_at,
        camera=row.camera,
        kind=row.kind,
        pages=row.pages,
        annotated_page=row.annotated_page,
        drawing=row.drawing,
        searched=searched,
        faces=faces,
    )
