"""Queueing ended rows once more: under the next generation, with nothing of their last end."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import bulk, counters
from shared.catalog.locks import LockedRow
from shared.catalog.schema import found_faces, images, pages
from shared.messages import Kind, Status, now

FIRST_DRAWING = 1
"""The version of drawing of programs that kept none."""

NOTHING_FOUND: dict[str, object] = {
    "status": Status.QUEUED.value,
    "face_count": 0,
    "best_score": None,
    "least_score": None,
    "annotated_uri": None,
    "reason": "",
    "attempts": 0,
    "consumer": "",
    "detected_at": None,
    "committed_at": None,
    "detect_ms": None,
    "code": None,
    "taken_at": None,
    "camera": None,
    "kind": Kind.PICTURE.value,
    "pages": 1,
    "annotated_page": None,
    "drawing": FIRST_DRAWING,
}
"""What a queued row has in the columns that a result sets. Its size and format stay, and `drawing`
is what a writer of the last version leaves as it is."""


async def requeue(connection: AsyncConnection, rows: Sequence[LockedRow]) -> None:
    """Queue ended rows again."""
    keys, count = [row.pk for row in rows], len(rows)
    await bulk.update(
        connection,
        images,
        {
            "pk": keys,
            "generation": [row.generation + 1 for row in rows],
            "queued_at": [now()] * count,
            **{name: [value] * count for name, value in NOTHING_FOUND.items()},
        },
    )
    await delete_faces(connection, keys)
    await delete_pages(connection, keys)
    turns = [counters.Turn(row.pk, row.state, counters.QUEUED) for row in rows]
    await counters.turned(connection, turns)


async def delete_faces(connection: AsyncConnection, keys: Sequence[int]) -> None:
    """Delete the faces of some rows, by their keys."""
    statement = "DELETE FROM found_faces WHERE image IN (SELECT image FROM {given})"
    await bulk.change(connection, found_faces, {"image": keys}, statement)


async def delete_pages(connection: AsyncConnection, keys: Sequence[int]) -> None:
    """Delete the pages of some rows, by their keys."""
    statement = "DELETE FROM pages WHERE image IN (SELECT image FROM {given})"
    await bulk.change(connection, pages, {"image": keys}, statement)
