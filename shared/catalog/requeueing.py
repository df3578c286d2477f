"""Queueing ended rows once more: under the next generation, with nothing of their last end."""

from collections.abc import Sequence

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import bulk, counters
from shared.catalog.locks import LockedRow
from shared.catalog.schema import found_faces, images, pages
from shared.messages import Kind, ResultMessage, Status, now

FIRST_DRAWING = 1
"""The version of drawing of programs that kept none."""

_OF_THE_IMAGE = ("id", "recipe", "generation", "name", "source_uri", "queued_at")
_MADE_BY_COMMIT = ("status", "reason", "format", "consumer", "camera", "code", "kind", "drawing")

AS_TOLD = tuple(
    column.name
    for column in images.c
    if column.name in ResultMessage.model_fields
    and column.name not in (*_OF_THE_IMAGE, *_MADE_BY_COMMIT)
)
"""Columns that hold just what the field of their name in a result says. A new column of this kind
needs no line in this module or in `committing`."""

_STAYS = ("bytes", "width", "height", "orientation")
"""Of the file, and true until a result says it again, as its format."""

NOTHING_FOUND: dict[str, object] = {name: None for name in AS_TOLD if name not in _STAYS} | {
    "status": Status.QUEUED.value,
    "face_count": 0,
    "best_score": None,
    "least_score": None,
    "annotated_uri": None,
    "reason": "",
    "attempts": 0,
    "consumer": "",
    "committed_at": None,
    "code": None,
    "camera": None,
    "kind": Kind.PICTURE.value,
    "pages": 1,
    "cut": False,
    "drawing": FIRST_DRAWING,
}
"""What a queued row has in the columns that a result sets. `drawing` is what a writer of the last
version leaves as it is."""


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
