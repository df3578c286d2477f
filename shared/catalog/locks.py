"""Rows of `images`, locked: what decides about them stays as it is until the commit."""

from collections.abc import Iterable
from typing import NamedTuple

from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import bulk
from shared.catalog.counters import State
from shared.catalog.schema import images
from shared.messages import Status
from shared.reasons import REVIVED, Reason

Key = tuple[str, str]
"""(id, recipe): what people and programs know a row by."""


class LockedRow(NamedTuple):
    """What decides about a row. On SQLite the writing transaction locks all rows."""

    pk: int
    id: str
    recipe: str
    generation: int
    status: str
    face_count: int
    reason: str
    code: str | None
    current: int

    @property
    def key(self) -> Key:
        return self.id, self.recipe

    @property
    def state(self) -> State:
        return State(self.status, self.face_count)

    @property
    def ended(self) -> bool:
        """Whether its search is over, with whatever result."""
        return self.status != Status.QUEUED

    @property
    def to_be_revived(self) -> bool:
        """Whether it failed for a reason that says nothing about the picture.

        By its code or by its sentence: a program of the last version sets no code, and leaves one
        that was there.
        """
        reasons = {Reason.of(self.code), Reason.of(None, self.reason)}
        return self.status == Status.FAILED and bool(reasons & REVIVED)


COLUMNS = tuple(images.c[name] for name in LockedRow._fields)
"""For statements that select rows by something else than their keys."""


async def lock(connection: AsyncConnection, keys: Iterable[Key]) -> dict[Key, LockedRow]:
    """Lock the rows that there are of these. All do so in one order: none waits in a circle."""
    wanted = sorted(set(keys))
    found = await bulk.select(
        connection,
        images,
        {"id": [id_ for id_, _ in wanted], "recipe": [recipe for _, recipe in wanted]},
        f"SELECT {', '.join(map(str, COLUMNS))} "  # noqa: S608 - names of ours
        "FROM {given} JOIN images ON images.id = given.id AND images.recipe = given.recipe "
        "ORDER BY images.pk {lock}",
        LockedRow,
    )
    return {row.key: row for row in found}
