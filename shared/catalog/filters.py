"""Which images: a filter, and the statement that selects its rows."""

import operator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    Boolean,
    ColumnElement,
    Select,
    exists,
    false,
    func,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import globs, plans
from shared.catalog.schema import found_faces, images, memberships, submissions
from shared.catalog.texts import safe
from shared.messages import Kind, Status

is_cut: ColumnElement[bool] = literal_column("images.cut", Boolean)
"""As its index says, by which such rows are found."""

is_drawn = images.c.annotated_uri.is_not(None)
"""As the index of `drawing` says: only such rows are in it."""


@dataclass(frozen=True)
class Filter:
    """Which images. All that is given must hold; what is left out does not matter.

    Attributes:
        name: a pattern as a shell's (see `globs`), of the whole name and with its case.
        min_score, max_score: there is a face at least, or at most, that certain.
        since, until: of the commit, [since, until).
        taken_since, taken_until: of when it was taken by the camera's clock, [since, until), as
            text of any length: `2019`, `2019-01`, `2019-01-31`, `2019-01-31T18:30`.
        camera: a pattern as for names, whatever the case of its letters.
        kind: a `shared.messages.Kind`.
        code: it failed for this `shared.reasons.Reason`.
        drawn_before: it has an annotated picture, made by a version of drawing below this.
        current: only the row of each source that counts now; of `recipe`, if that is given, only
            the one that was named last under it. Without this also all that came before.
        cut: only files that end before their pictures do.
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
    taken_since: str | None = None
    taken_until: str | None = None
    camera: str | None = None
    kind: str | None = None
    code: str | None = None
    drawn_before: int | None = None
    current: bool = False
    cut: bool = False

    @property
    def few(self) -> int:
        """Fewer rows than this are found first and sorted then; see `plans`."""
        taken = (self.taken_since, self.taken_until, self.camera)
        if any(value is not None for value in taken):
            return plans.FEW_OF_ALBUMS
        together = (self.name, self.since, self.until, self.drawn_before)
        if any(value is not None for value in together):
            return plans.FEW_TOGETHER
        others = (self.min_faces, self.max_faces, self.min_score, self.max_score)
        return plans.FEW_SPREAD if any(value is not None for value in others) else 0


async def chosen(connection: AsyncConnection, filter_: Filter) -> Select[Any]:
    """The rows of a filter, without order. (Any: a row mixes the types of its columns.)"""
    postgres = connection.dialect.name == "postgresql"
    query = select(images).where(*_conditions(filter_, postgres))
    if filter_.camera is not None:
        cameras = await _cameras(connection, filter_.camera)
        query = query.where(images.c.camera.in_(cameras) if cameras else false())
    if filter_.current and filter_.recipe is not None:
        await plans.uncompiled(connection)
    if filter_.submission is not None:
        key = select(submissions.c.pk).where(submissions.c.id == filter_.submission)
        query = query.join(memberships, memberships.c.image == images.c.pk).where(
            memberships.c.submission == key.scalar_subquery()
        )
    return query


def _conditions(filter_: Filter, postgres: bool) -> list[ColumnElement[bool]]:
    """What must hold of a row of `images`, but for its submission and camera."""
    row = images.c
    conditions: list[ColumnElement[bool]] = [
        compare(column, value)
        for compare, column, value in (
            (operator.ge, row.face_count, filter_.min_faces),
            (operator.le, row.face_count, filter_.max_faces),
            (operator.ge, row.best_score, filter_.min_score),
            (operator.le, row.least_score, filter_.max_score),
            (operator.ge, row.committed_at, filter_.since),
            (operator.lt, row.committed_at, filter_.until),
            (operator.eq, row.recipe, filter_.recipe),
            (operator.eq, row.id, filter_.image),
            (operator.ge, row.taken_at, filter_.taken_since),
            (operator.lt, row.taken_at, filter_.taken_until),
            (operator.eq, row.kind, filter_.kind),
            (operator.eq, row.code, filter_.code),
        )
        if value is not None
    ]
    if filter_.statuses:
        conditions.append(row.status.in_([status.value for status in filter_.statuses]))
    if filter_.name is not None:
        conditions.append(globs.matches(safe(filter_.name), postgres))
    if filter_.kind is not None and filter_.kind != Kind.PICTURE:
        conditions.append(row.kind != literal_column("'picture'"))  # as its index says
    if filter_.code is not None:  # a redo of the last version leaves the code of the end before
        conditions.append(row.status == Status.FAILED.value)
    if filter_.drawn_before is not None:
        conditions += [is_drawn, row.drawing < filter_.drawn_before]
    if filter_.current:
        conditions.append(_is_current(filter_.recipe))
    if filter_.cut:
        conditions.append(is_cut)
    return conditions + _scores(filter_)


def _is_current(recipe: str | None) -> ColumnElement[bool]:
    """Of a recipe only its own rows compete, by the order in which they were first named."""
    row = images.c
    if recipe is None:
        return row.current == literal_column("1")  # as its index says
    other = images.alias("other")
    same = func.coalesce(other.c.source_uri, other.c.id) == func.coalesce(row.source_uri, row.id)
    newest = select(func.max(other.c.pk + 0)).where(same, other.c.recipe == recipe)
    return row.pk == newest.correlate(images).scalar_subquery()


def _scores(filter_: Filter) -> list[ColumnElement[bool]]:
    """What must hold of scores beside the best and the least."""
    if filter_.min_score is None and filter_.max_score is None:
        return []
    row = images.c
    conditions: list[ColumnElement[bool]] = [row.face_count > 0]  # as the indexes of scores say
    if filter_.min_score is not None and filter_.max_score is not None:
        limits = (filter_.min_score, filter_.max_score)
        one = exists().where(found_faces.c.image == row.pk, found_faces.c.score.between(*limits))
        conditions.append(
            or_(row.best_score.between(*limits), row.least_score.between(*limits), one)
        )
    return conditions


_NEXT_CAMERA = "SELECT min(camera) FROM images WHERE camera"
_ALL_CAMERAS = text(
    f"WITH RECURSIVE cameras (camera) AS ({_NEXT_CAMERA} IS NOT NULL UNION ALL "  # noqa: S608
    f"SELECT ({_NEXT_CAMERA} > cameras.camera) FROM cameras WHERE cameras.camera IS NOT NULL) "
    "SELECT camera FROM cameras"
).columns(images.c.camera)


async def _cameras(connection: AsyncConnection, pattern: str) -> list[str]:
    """The cameras whose names match a pattern, whatever the case of its letters.

    There are few among many images, and each is found by one step in their index: so rows are
    looked up by whole names, which the planner knows the frequency of.
    """
    camera = _ALL_CAMERAS.subquery().c.camera
    if connection.dialect.name == "postgresql":
        matches = camera.op("~*", is_comparison=True)(globs.postgres_regex(safe(pattern)))
    else:
        glob = globs.sqlite_glob(safe(pattern).lower())
        matches = func.lower(camera).op("GLOB", is_comparison=True)(glob)
    return list((await connection.execute(select(camera).where(matches))).scalars())
