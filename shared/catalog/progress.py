"""Where submissions stand: read off their counters, whatever their size."""

from datetime import datetime
from typing import Any

from sqlalchemy import Row, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.schema import images, memberships, parts, submissions
from shared.catalog.values import FailedPart, Progress
from shared.errors import FacesError

FAILED_PARTS_SHOWN = 100
RECENT_AT_MOST = 20_000

# Asked every second: put together once.
_SUBMISSION = select(submissions).where(submissions.c.id == bindparam("wanted"))
_FAILED_PARTS = (
    select(parts.c.uri, parts.c.reason)
    .where(parts.c.submission == bindparam("key"), parts.c.reason != "")
    .order_by(parts.c.part)
    .limit(FAILED_PARTS_SHOWN)
)


async def progress(connection: AsyncConnection, submission: str) -> Progress:
    """Where one submission stands.

    Raises:
        FacesError: the catalog does not know it.
    """
    found = await connection.execute(_SUBMISSION, {"wanted": submission})
    row = found.one_or_none()
    if row is None:
        raise FacesError(f"the catalog knows no submission {submission}")
    return as_progress(row, await _failed_parts(connection, row.pk))


async def list_submissions(
    connection: AsyncConnection, limit: int, before: datetime | None
) -> list[Progress]:
    """The newest submissions, those created before `before` if that is given."""
    query = select(submissions).order_by(submissions.c.created_at.desc(), submissions.c.pk.desc())
    if before is not None:
        query = query.where(submissions.c.created_at < before)
    rows = (await connection.execute(query.limit(limit))).all()
    return [as_progress(row, await _failed_parts(connection, row.pk)) for row in rows]


async def recent_ends(
    connection: AsyncConnection, submission: str, since: datetime
) -> tuple[int, datetime | None]:
    """How many images of a submission ended since then, and when the first of them did.

    Looks at no more than the last `RECENT_AT_MOST`: an estimate needs no more.
    """
    key = select(submissions.c.pk).where(submissions.c.id == submission).scalar_subquery()
    recent = (
        select(images.c.pk, images.c.committed_at)
        .where(images.c.committed_at >= since)
        .order_by(images.c.committed_at.desc())
        .limit(RECENT_AT_MOST)
        .subquery()
    )
    query = select(func.count(), func.min(recent.c.committed_at)).select_from(
        recent.join(memberships, memberships.c.image == recent.c.pk)
    )
    found = await connection.execute(query.where(memberships.c.submission == key))
    number, first = found.one()
    return number, first


async def _failed_parts(connection: AsyncConnection, key: int) -> tuple[FailedPart, ...]:
    found = await connection.execute(_FAILED_PARTS, {"key": key})
    return tuple(FailedPart(uri, reason) for uri, reason in found)


def as_progress(row: Row[Any], failed_parts: tuple[FailedPart, ...]) -> Progress:
    """A row of `submissions` as what it means. (Any: a row mixes types.)"""
    queued = row.named - row.with_faces - row.no_faces - row.failed
    return Progress(
        id=row.id,
        name=row.name,
        created_at=row.created_at,
        named=row.named,
        queued=queued,
        with_faces=row.with_faces,
        no_faces=row.no_faces,
        failed=row.failed,
        faces=row.faces,
        skipped=row.skipped,
        parts_open=max(row.parts_opened, row.parts or 0) - row.parts_closed,
        sealed=row.parts is not None,
        failed_parts=failed_parts,
        cancelled=row.cancelled_at is not None,
        complete=queued == 0 and (row.closed_at is not None or row.cancelled_at is not None),
    )
