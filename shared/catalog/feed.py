"""The ended images of one submission, a page at a time, in the order in which they were named."""

from dataclasses import dataclass

from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.schema import images, memberships, submissions
from shared.messages import Status

_STATUSES = {status.value: status for status in Status}


@dataclass(frozen=True, slots=True)
class Member:
    """An image of a submission; `key` is its place in the order of the feed."""

    key: int
    id: str
    source_uri: str | None
    status: Status
    annotated_uri: str | None
    recipe: str


async def members(
    connection: AsyncConnection, submission: str, after: int, limit: int
) -> list[Member]:
    """The images of a submission behind the key `after` (0: from the first), ended or not."""
    found = await connection.execute(
        select(
            memberships.c.image,
            images.c.id,
            images.c.source_uri,
            images.c.status,
            images.c.annotated_uri,
            images.c.recipe,
        )
        .join(images, images.c.pk == memberships.c.image)
        .join(submissions, submissions.c.pk == memberships.c.submission)
        .where(submissions.c.id == submission, memberships.c.image > after)
        .order_by(memberships.c.image)
        .limit(limit)
    )
    return [
        Member(key, id_, source_uri, _STATUSES[status], annotated_uri, recipe)
        for key, id_, source_uri, status, annotated_uri, recipe in found
    ]
