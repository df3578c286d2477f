"""Writing what submissions name: queued rows, memberships, and how far each part has come."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import Column, Insert, Integer, Table, bindparam, select, text, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

from shared.catalog import bulk, counters, current, same
from shared.catalog.counters import Change
from shared.catalog.locks import Key, LockedRow, lock
from shared.catalog.requeueing import requeue
from shared.catalog.schema import forgotten, images, memberships, parts, recipes, submissions
from shared.catalog.texts import safe
from shared.catalog.values import Decision, Expansion
from shared.messages import Status, now
from shared.recipe import Recipe

# Statements that every expansion runs are built once: building them took a third of its time.
_KEY_COLUMNS = submissions.c.pk, submissions.c.cancelled_at
_SUBMISSION = select(*_KEY_COLUMNS).where(submissions.c.id == bindparam("wanted"))
_SEAL = (
    update(submissions)
    .where(submissions.c.pk == bindparam("key"))
    .values(
        parts=bindparam("number", type_=Integer),
        closed_at=counters.closed_at(parts=bindparam("number", type_=Integer)),
    )
)
_TOMBSTONES = select(forgotten.c.id, forgotten.c.generation, forgotten.c.forgotten_at).where(
    forgotten.c.recipe == bindparam("wanted"), forgotten.c.id.in_(bindparam("ids", expanding=True))
)

_PASSED_OVER = text(
    "INSERT INTO passed_over (submission, kind, count, example) "
    "VALUES (:key, :kind, :number, :example) ON CONFLICT (submission, kind) DO UPDATE SET "
    "count = passed_over.count + excluded.count, example = CASE passed_over.example "
    "WHEN '' THEN excluded.example ELSE passed_over.example END"
)

_LEFT = Decision(generation=1, send=False)


async def submission_key(
    connection: AsyncConnection, submission: str, name: str, created_at: datetime
) -> tuple[int, bool]:
    """The key of a submission, which is inserted if it is new; and whether it was cancelled."""
    wanted = {"wanted": submission}
    row = (await connection.execute(_SUBMISSION, wanted)).one_or_none()
    if row is None:
        insert = _insert_new(connection.dialect.name, submissions, *_KEY_COLUMNS)
        values = {"id": submission, "name": safe(name), "created_at": created_at}
        row = (await connection.execute(insert, values)).one_or_none()
    if row is None:  # another transaction inserted it in between
        row = (await connection.execute(_SUBMISSION, wanted)).one()
    return row.pk, row.cancelled_at is not None


async def key_of(connection: AsyncConnection, submission: str) -> int | None:
    """The key of a submission; None of one that the catalog does not know."""
    row = (await connection.execute(_SUBMISSION, {"wanted": submission})).one_or_none()
    return None if row is None else row.pk


async def add_recipe(connection: AsyncConnection, recipe: Recipe) -> None:
    """Keep what a recipe's id stands for."""
    await _add(connection, recipes, {"id": recipe.id, "json": recipe.model_dump_json()})


async def seal(connection: AsyncConnection, key: int, number: int) -> None:
    """Say how many parts a submission has."""
    await connection.execute(_SEAL, {"key": key, "number": number, "moment": now()})


async def fail_part(
    connection: AsyncConnection, key: int, part: int, uri: str | None, reason: str
) -> None:
    """Close a part, unless it is closed, with the reason why it cannot be expanded."""
    change = Change(parts_opened=await _open_part(connection, key, part, uri, ""))
    change.parts_closed = await _close_part(connection, key, part, None, safe(reason))
    await counters.apply(connection, {key: change})


async def queue(connection: AsyncConnection, expansion: Expansion) -> list[Decision]:
    """Write the queued rows of an expansion, its memberships, and its part's next position.

    Repeating it counts nothing twice, since memberships are what is counted, and moves no
    position, since that moves only from where the expansion began.
    """
    key, cancelled = await submission_key(
        connection, expansion.submission, expansion.submission_name, expansion.submitted_at
    )
    named = expansion.images
    expansion = replace(expansion, images=await same.canonical(connection, named))
    if cancelled:
        decisions, change = [_LEFT] * len(expansion.images), Change()
    else:
        decisions, change = await _queue_images(connection, expansion, key)
    if await _move_part(connection, expansion, key, change, ends=cancelled):
        await _count_passed_over(connection, expansion, key)
    await counters.apply(connection, {key: change})
    return [
        decision if image.id == as_named.id else replace(decision, image=image.id)
        for decision, image, as_named in zip(decisions, expansion.images, named, strict=True)
    ]


async def queue_images(
    connection: AsyncConnection, expansion: Expansion, key: int
) -> list[Decision]:
    """Write queued rows and memberships only; the submission has this key."""
    decisions, change = await _queue_images(connection, expansion, key)
    await counters.apply(connection, {key: change})
    return decisions


async def _queue_images(
    connection: AsyncConnection, expansion: Expansion, key: int
) -> tuple[list[Decision], Change]:
    await add_recipe(connection, expansion.recipe)
    barred = await _insert_rows(connection, expansion)
    return await _join(connection, expansion, key, barred)


async def _insert_rows(connection: AsyncConnection, expansion: Expansion) -> set[str]:
    """Insert what is new; returns the ids that were forgotten after the submission was made.

    What was forgotten before that has been named anew on purpose: it returns, under a generation
    that no result on its way has.
    """
    wanted = {"wanted": expansion.recipe.id, "ids": [image.id for image in expansion.images]}
    tombstones = (await connection.execute(_TOMBSTONES, wanted)).all()
    barred = {row.id for row in tombstones if row.forgotten_at >= expansion.submitted_at}
    generations = {row.id: row.generation + 1 for row in tombstones}
    # In their own order, in which people will see them listed; of twins, the last.
    new = list({image.id: image for image in expansion.images if image.id not in barred}.values())
    count = len(new)
    await bulk.insert(
        connection,
        images,
        {
            "id": [image.id for image in new],
            "recipe": [expansion.recipe.id] * count,
            "generation": [generations.get(image.id, 1) for image in new],
            "submission_id": [expansion.submission] * count,
            "source_uri": [image.source_uri and safe(image.source_uri) for image in new],
            "source_version": [safe(image.source_version) for image in new],
            "name": [safe(image.name) for image in new],
            "bytes": [image.bytes for image in new],
            "status": [Status.QUEUED.value] * count,
            "queued_at": [now()] * count,
        },
        conflict="ignore",
    )
    return barred


async def _join(
    connection: AsyncConnection, expansion: Expansion, key: int, barred: set[str]
) -> tuple[list[Decision], Change]:
    """Make the images members of the submission; decide which of them are handed on."""
    recipe = expansion.recipe.id
    rows = await lock(
        connection, [(image.id, recipe) for image in expansion.images if image.id not in barred]
    )
    revived = [row for row in rows.values() if row.to_be_revived]
    await requeue(connection, revived)
    rows |= {
        row.key: row._replace(generation=row.generation + 1, status=Status.QUEUED, face_count=0)
        for row in revived
    }
    await current.name(connection, _named(expansion, rows))
    fresh = await _add_members(connection, key, rows.values())
    change = Change(named=len(fresh))
    for row in rows.values():
        if row.pk in fresh and row.ended:
            change.skipped += 1
            change.add(row.state)
    by_id = {row.id: Decision(row.generation, send=not row.ended) for row in rows.values()}
    return [by_id.get(image.id, _LEFT) for image in expansion.images], change


def _named(expansion: Expansion, rows: Mapping[Key, LockedRow]) -> Iterator[current.Named]:
    """The rows of an expansion, in the order in which it names them."""
    for image in expansion.images:
        row = rows.get((image.id, expansion.recipe.id))
        if row is not None:
            uri = image.source_uri and safe(image.source_uri)
            source = current.source_of(uri, image.id)
            yield current.Named(row.pk, source, row.ended, row.current)


class _Joined(NamedTuple):
    image: int


async def _add_members(
    connection: AsyncConnection, key: int, rows: Iterable[LockedRow]
) -> set[int]:
    """Insert memberships of a submission; the keys of those that are new."""
    joined = await bulk.select(
        connection,
        memberships,
        {"image": [row.pk for row in rows]},
        "INSERT INTO memberships (submission, image) "  # noqa: S608 - a number of ours
        f"SELECT {key}, given.image FROM {{given}} WHERE true "
        "ON CONFLICT DO NOTHING RETURNING image",
        _Joined,
    )
    return {row.image for row in joined}


async def _move_part(
    connection: AsyncConnection, expansion: Expansion, key: int, change: Change, *, ends: bool
) -> bool:
    """Move a part on to the next position, or close it; counted in `change`. False where that was
    done before: the step is repeated."""
    ends = ends or expansion.next_position is None
    part, position = expansion.part, expansion.position
    change.parts_opened = await _open_part(
        connection, key, part, expansion.uri, position, closed=ends
    )
    if ends:
        # A part of one step is closed as it is opened.
        change.parts_closed = change.parts_opened or await _close_part(
            connection, key, part, position, ""
        )
        return change.parts_closed > 0
    moved = await connection.execute(
        update(parts)
        .where(parts.c.submission == key, parts.c.part == part)
        .where(parts.c.position == position, parts.c.closed_at.is_(None))
        .values(position=expansion.next_position)
    )
    return moved.rowcount > 0


async def _count_passed_over(connection: AsyncConnection, expansion: Expansion, key: int) -> None:
    """Add what one step passed over; the kinds in one order, so that no two lock each other."""
    if rows := [
        {"key": key, "kind": kind, "number": passed.count, "example": safe(passed.example)}
        for kind, passed in sorted(expansion.passed_over.items())
    ]:
        await connection.execute(_PASSED_OVER, rows)


async def _open_part(
    connection: AsyncConnection,
    key: int,
    part: int,
    uri: str | None,
    position: str,
    *,
    closed: bool = False,
) -> int:
    """Insert a part's row if there is none (at its first step, or after a restored backup); how
    many were inserted."""
    row = {
        "submission": key,
        "part": part,
        "uri": uri and safe(uri),
        "position": position,
        "reason": "",
        "closed_at": now() if closed else None,
    }
    return int(await _add(connection, parts, row))


async def _close_part(
    connection: AsyncConnection, key: int, part: int, position: str | None, reason: str
) -> int:
    """Close a part that is open (at this position); how many were closed."""
    where = [parts.c.submission == key, parts.c.part == part, parts.c.closed_at.is_(None)]
    if position is not None:
        where.append(parts.c.position == position)
    closed = await connection.execute(
        update(parts).where(*where).values(closed_at=now(), reason=reason)
    )
    return closed.rowcount


async def _add(connection: AsyncConnection, table: Table, row: Mapping[str, object]) -> bool:
    """Insert a row unless its key is there already; returns whether it was inserted."""
    result = await connection.execute(_insert_new(connection.dialect.name, table), row)
    return bool(result.rowcount)


@cache
def _insert_new(
    dialect: str,
    table: Table,
    *returned: Column[Any],  # Any: columns of several types
) -> Insert | ReturningInsert[Any]:
    """Insert a row unless its key is there already."""
    insert = postgres_insert if dialect == "postgresql" else sqlite_insert
    statement = insert(table).on_conflict_do_nothing()
    return statement.returning(*returned) if returned else statement
