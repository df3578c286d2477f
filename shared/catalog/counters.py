"""The counters of submissions: they make status and completeness cheap at a million rows.

A counter counts memberships by the status of their image, so it changes wherever a status or a
membership does, in the same transaction. Every writer locks rows of `images` before it reads
memberships, and rows of `submissions` last and in the order of their keys: none is counted twice
or missed, and writers do not wait for each other in a circle.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Update, bindparam, case, func, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import bulk
from shared.catalog.schema import UtcTime, memberships, submissions
from shared.messages import Status, now

PARTS = ("parts", "parts_opened", "parts_closed")


class State(NamedTuple):
    """What is counted of an image."""

    status: str
    face_count: int = 0


QUEUED = State(Status.QUEUED)
ABSENT = State("")
"""The state of an image that has no row."""


class Turn(NamedTuple):
    """An image whose state changes."""

    image: int
    before: State
    after: State


class Membership(NamedTuple):
    """An image of a submission, both by their keys."""

    submission: int
    image: int


@dataclass
class Change:
    """By how much the counters of one submission change."""

    named: int = 0
    skipped: int = 0
    with_faces: int = 0
    no_faces: int = 0
    failed: int = 0
    faces: int = 0
    parts_opened: int = 0
    parts_closed: int = 0

    def add(self, state: State, sign: int = 1) -> None:
        """Count one image more, or less; queued ones are not counted."""
        status, face_count = state
        if status == Status.FACES:
            self.with_faces += sign
            self.faces += sign * face_count
        elif status == Status.NO_FACES:
            self.no_faces += sign
        elif status == Status.FAILED:
            self.failed += sign


async def turned(connection: AsyncConnection, turns: Iterable[Turn]) -> None:
    """Count changes of state for every submission that named the images (which are locked)."""
    by_image = {turn.image: turn for turn in turns}
    members = await bulk.select(
        connection,
        memberships,
        {"image": list(by_image)},
        "SELECT memberships.submission, memberships.image FROM {given} "
        "JOIN memberships ON memberships.image = given.image",
        Membership,
    )
    changes: defaultdict[int, Change] = defaultdict(Change)
    for submission, image in members:
        turn, change = by_image[image], changes[submission]
        change.add(turn.before, sign=-1)
        change.add(turn.after)
        change.named -= turn.after == ABSENT
    await apply(connection, changes)


async def apply(connection: AsyncConnection, changes: Mapping[int, Change]) -> None:
    """Add changes to the counters of submissions, by their keys."""
    for key in sorted(changes):
        change = {f"by_{name}": by for name, by in vars(changes[key]).items()}
        if any(change.values()):
            await connection.execute(_ADD, {"key": key, "moment": now(), **change})


def closed_at(**changed: ColumnElement[Any]) -> ColumnElement[datetime | None]:
    """When a submission had named its last image, once these columns of it have changed so.

    The statement needs `moment`, the time now. (Any: columns of several types.)
    """
    row = {name: changed.get(name, submissions.c[name]) for name in PARTS}
    expanded = (row["parts_closed"] >= row["parts"]) & (row["parts_closed"] >= row["parts_opened"])
    moment = func.coalesce(submissions.c.closed_at, bindparam("moment", type_=UtcTime))
    return case((expanded, moment), else_=None)


def _addition() -> Update:
    changed = {
        field.name: submissions.c[field.name] + bindparam(f"by_{field.name}")
        for field in fields(Change)
    }
    return (
        update(submissions)
        .where(submissions.c.pk == bindparam("key"))
        .values(changed | {"closed_at": closed_at(**changed)})
    )


_ADD = _addition()  # built once: building it took a third of the time of a step
