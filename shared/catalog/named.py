"""What rows say about the objects of their pictures."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import bulk
from shared.messages import Status

Key = tuple[str, str]
"""An image's id and its recipe's."""


@dataclass(frozen=True)
class ObjectsOfRow:
    """Which objects a row's picture has.

    Attributes:
        generation: of the row.
        awaited: the row is queued; its result may bring any objects.
        annotated: whether the row names an annotated picture.
        crops: how many there are at most: one a face.
    """

    generation: int
    awaited: bool
    annotated: bool
    crops: int


async def objects_of(connection: AsyncConnection, keys: Sequence[Key]) -> dict[Key, ObjectsOfRow]:
    """What the rows of these images say; an image without a row is left out."""
    found = await bulk.select(
        connection,
        [("id", "text"), ("recipe", "text")],
        keys,
        "SELECT images.id, images.recipe, images.generation, images.status, "
        "images.annotated_uri IS NOT NULL, images.face_count "
        "FROM {given} JOIN images ON images.id = given.id AND images.recipe = given.recipe",
    )
    return {
        (id_, recipe): ObjectsOfRow(
            generation, status == Status.QUEUED, bool(annotated), face_count
        )
        for id_, recipe, generation, status, annotated, face_count in found
    }
