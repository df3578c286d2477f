"""Where submissions stand: read off their counters, whatever their size."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import Row, bindparam, func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.schema import images, memberships, parts, passed_over, submissions
from shared.catalog.values import FailedPart, Member, PassedOver, SubmissionStatus
from shared.errors import FacesError
from shared.messages import Status, now

FAILED_PARTS_SHOWN = 100

RECENT_ENDS = 20_000
"""The pace is that of the last so many images: an estimate needs no more."""

# Asked every second: built once.
_SUBMISSION = select(submissions).where(submissions.c.id == bindparam("wanted"))
_FAILED_PARTS = (
    select(parts.c.uri, parts.c.reason, func.count().over())  # of all, whatever the limit
    .where(parts.c.submission == bindparam("key"), parts.c.reason != "")
    .order_by(parts.c.part)
    .limit(FAILED_PARTS_SHOWN)
)
_PASSED_OVER = (
    select(passed_over.c.kind, passed_over.c.count.label("number"), passed_over.c.example)
    .where(passed_over.c.submission == bindparam("key"))
    .order_by(passed_over.c.kind)
)
_STATUSES = {status.value: status for status in Status}


async def status_of(connection: AsyncConnection, submission: str) -> SubmissionStatus:
    """Where one submission stands.

    Raises:
        FacesError: the catalog does not know it.
    """
    found = await connection.execute(_SUBMISSION, {"wanted": submission})
    row = found.one_or_none()
    if row is None:
        raise FacesError(f"the catalog knows no submission {submission}")
    return await _as_status(connection, row)


async def newest(
    connection: AsyncConnection, limit: int, before: datetime | None
) -> list[SubmissionStatus]:
    """The newest submissions, of those created before `before` if that is given."""
    query = select(submissions).order_by(submissions.c.created_at.desc(), submissions.c.pk.desc())
    if before is not None:
        query = query.where(submissions.c.created_at < before)
    rows = (await connection.execute(query.limit(limit))).all()
    return [await _as_status(connection, row) for row in rows]


async def still_open(connection: AsyncConnection) -> tuple[int, datetime | None]:
    """How many submissions are not complete, and when the oldest of them was created."""
    one = submissions.c
    queued = one.named - one.with_faces - one.no_faces - one.failed
    unending = one.closed_at.is_(None) & one.cancelled_at.is_(None)
    query = select(func.count(), func.min(one.created_at)).where((queued != 0) | unending)
    number, oldest = (await connection.execute(query)).one()
    return number, oldest


async def members(
    connection: AsyncConnection, submission: str, after: int, limit: int
) -> list[Member]:
    """A page of the images of a submission, ended or not, in the order in which they were named."""
    found = await connection.execute(
        select(
            memberships.c.image,
            images.c.id,
            images.c.source_uri,
            images.c.status,
            images.c.annotated_uri,
            images.c.recipe,
            images.c.generation,
        )
        .join(images, images.c.pk == memberships.c.image)
        .join(submissions, submissions.c.pk == memberships.c.submission)
        .where(submissions.c.id == submission, memberships.c.image > after)
        .order_by(memberships.c.image)
        .limit(limit)
    )
    return [
        Member(key, id_, source_uri, _STATUSES[status], annotated_uri, recipe, generation)
        for key, id_, source_uri, status, annotated_uri, recipe, generation in found
    ]


async def pace(connection: AsyncConnection, submission: str, seconds: float) -> float:
    """Images of a submission that ended each second, over the last `seconds`."""
    moment = now()
    key = select(submissions.c.pk).where(submissions.c.id == submission).scalar_subquery()
    recent = (
        select(images.c.pk, images.c.committed_at)
        .where(images.c.committed_at >= moment - timedelta(seconds=seconds))
        .order_by(images.c.committed_at.desc())
        .limit(RECENT_ENDS)
        .subquery()
    )
    query = select(func.count(), func.min(recent.c.committed_at)).select_from(
        recent.join(memberships, memberships.c.image == recent.c.pk)
    )
    found = await connection.execute(query.where(memberships.c.submission == key))
    number, first = found.one()
    return number / max(0.1, (moment - first).total_seconds()) if first else 0.0


async def _as_status(
    connection: AsyncConnection,
    row: Row[Any],  # Any: a row mixes the types of its columns
) -> SubmissionStatus:
    failed_parts = (await connection.execute(_FAILED_PARTS, {"key": row.pk})).all()
    passed = (await connection.execute(_PASSED_OVER, {"key": row.pk})).all()
    queued = row.named - row.with_faces - row.no_faces - row.failed
    return SubmissionStatus(
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
        failed_parts=tuple(FailedPart(uri, reason) for uri, reason, _ in failed_parts),
        cancelled=row.cancelled_at is not None,
        complete=queued == 0 and (row.closed_at is not None or row.cancelled_at is not None),
        refused=failed_parts[0][2] if failed_parts else 0,
        passed_over={one.kind: PassedOver(one.number, one.example) for one in passed},
    )
