"""Writing what submissions name: queued rows, memberships, and how far each part has come."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from functools import cache
from typing import Any

from sqlalchemy import Column, Insert, Integer, Table, bindparam, select, update
from sqlalchemy.dialects.postgresql import insert as postgres_insert
from sqlalchemy.dialects.sqlite import insert as sqlite_insert
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.sql.dml import ReturningInsert

from shared.catalog import bulk, counters
from shared.catalog.schema import forgotten, images, parts, recipes, submissions
from shared.catalog.texts import safe
from shared.catalog.values import Decision, Step
from shared.messages import Kind, Status, now
from shared.reasons import REVIVED, Reason
from shared.recipe import Recipe

# Statements that every step runs are put together once: it took a third of a step's time.
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
_GRAVES = select(forgotten.c.id, forgotten.c.generation, forgotten.c.forgotten_at).where(
    forgotten.c.recipe == bindparam("wanted"), forgotten.c.id.in_(bindparam("ids", expanding=True))
)

QUEUE_COLUMNS = (
    "id recipe generation submission_id source_uri source_version name bytes status queued_at"
)


async def submission_key(
    connection: AsyncConnection, submission: str, name: str, created_at: datetime
) -> tuple[int, bool]:
    """Key of a submission, made where it is not there yet; and whether it was cancelled."""
    wanted = {"wanted": submission}
    row = (await connection.execute(_SUBMISSION, wanted)).one_or_none()
    if row is None:
        insert = _insert_new(connection.dialect.name, submissions, *_KEY_COLUMNS)
        values = {"id": submission, "name": safe(name), "created_at": created_at}
        row = (await connection.execute(insert, values)).one_or_none()
    if row is None:  # another made it in between
        row = (await connection.execute(_SUBMISSION, wanted)).one()
    return row.pk, row.cancelled_at is not None


async def add_recipe(connection: AsyncConnection, recipe: Recipe) -> None:
    """Remember what a recipe's short name stands for."""
    await _add(connection, recipes, {"id": recipe.id, "json": recipe.model_dump_json()})


async def seal(connection: AsyncConnection, key: int, number: int) -> None:
    """Say how many parts a submission has."""
    await connection.execute(_SEAL, {"key": key, "number": number, "moment": now()})


async def fail_part(
    connection: AsyncConnection, key: int, part: int, uri: str | None, reason: str
) -> bool:
    """Close a part with the reason why it cannot be expanded; False if it was closed already."""
    change = counters.Change(parts_opened=await _open_part(connection, key, part, uri, ""))
    change.parts_closed = await _close_part(connection, key, part, None, safe(reason))
    await counters.apply(connection, {key: change})
    return change.parts_closed > 0


async def queue(connection: AsyncConnection, step: Step) -> list[Decision]:
    """Write one step: its queued rows, its memberships, and its part's next position.

    Repeating a step counts nothing twice, since memberships are what is counted, and moves no
    position, since that moves only from where the step began.
    """
    key, cancelled = await submission_key(
        connection, step.submission, step.submission_name, step.submitted_at
    )
    if cancelled:
        decisions, change = [Decision(1, send=False) for _ in step.images], counters.Change()
    else:
        decisions, change = await _queue_images(connection, step, key)
    ends = step.next_position is None or cancelled
    change.parts_opened = await _open_part(
        connection, key, step.part, step.uri, step.position, closed=ends
    )
    if ends:
        change.parts_closed = change.parts_opened or await _close_part(
            connection, key, step.part, step.position, ""
        )
    else:
        await connection.execute(
            update(parts)
            .where(parts.c.submission == key, parts.c.part == step.part)
            .where(parts.c.position == step.position, parts.c.closed_at.is_(None))
            .values(position=step.next_position)
        )
    await counters.apply(connection, {key: change})
    return decisions


async def queue_images(connection: AsyncConnection, step: Step, key: int) -> list[Decision]:
    """Write the queued rows and the memberships of a step, whose submission has this key."""
    decisions, change = await _queue_images(connection, step, key)
    await counters.apply(connection, {key: change})
    return decisions


async def _queue_images(
    connection: AsyncConnection, step: Step, key: int
) -> tuple[list[Decision], counters.Change]:
    """As `queue_images`, but for the counters."""
    await add_recipe(connection, step.recipe)
    barred = await _insert_rows(connection, step)
    return await _join(connection, step, key, barred)


async def _insert_rows(connection: AsyncConnection, step: Step) -> set[str]:
    """Insert what is new; returns what was forgotten after this submission was made.

    What was forgotten before it has been named anew on purpose: it returns under a generation
    that results still under way do not have.
    """
    recipe = step.recipe.id
    named = {"wanted": recipe, "ids": [image.id for image in step.images]}
    graves = (await connection.execute(_GRAVES, named)).all()
    barred = {grave.id for grave in graves if grave.forgotten_at >= step.submitted_at}
    generations = {grave.id: grave.generation + 1 for grave in graves}
    moment = now()
    rows = {
        image.id: (
            image.id,
            recipe,
            generations.get(image.id, 1),
            step.submission,
            image.source_uri and safe(image.source_uri),
            safe(image.source_version),
            safe(image.name),
            image.bytes,
            Status.QUEUED.value,
            moment,
        )
        for image in step.images
        if image.id not in barred
    }
    # In the order of the step, which is the order in which people will see them listed.
    await bulk.insert(connection, images, QUEUE_COLUMNS, rows.values(), conflict="ignore")
    return barred


async def _join(
    connection: AsyncConnection, step: Step, key: int, barred: set[str]
) -> tuple[list[Decision], counters.Change]:
    """Make the step's images members of the submission; decide which of them are handed on."""
    wanted = sorted({image.id for image in step.images} - barred)
    found = await bulk.select(
        connection,
        [("id", "text")],
        [(id_,) for id_ in wanted],
        "SELECT images.pk, images.id, images.generation, images.status, images.reason, "  # noqa: S608
        "images.face_count, images.code FROM {given} JOIN images ON images.id = given.id "
        f"AND images.recipe = '{step.recipe.id}' ORDER BY images.pk {{lock}}",
    )
    revived = [
        row for row in found if row[3] == Status.FAILED and Reason.of(row[6], row[4]) in REVIVED
    ]
    await requeue(connection, [(row[0], row[2], row[3], row[5]) for row in revived])
    again = {row[0] for row in revived}
    rows = [
        (pk, id_, generation + 1, Status.QUEUED, 0)
        if pk in again
        else (pk, id_, generation, status, faces)
        for pk, id_, generation, status, _, faces, _ in found
    ]
    joined = await bulk.select(
        connection,
        [("image", "bigint")],
        [(pk,) for pk, *_ in rows],
        "INSERT INTO memberships (submission, image) "  # noqa: S608 - a number of ours
        f"SELECT {key}, given.image FROM {{given}} WHERE true "
        "ON CONFLICT DO NOTHING RETURNING image",
    )
    fresh = {image for (image,) in joined}
    change = counters.Change(named=len(fresh))
    for pk, _, _, status, face_count in rows:
        if pk in fresh and status != Status.QUEUED:
            change.skipped += 1
            change.add(status, face_count)
    by_id = {
        id_: Decision(generation, send=status == Status.QUEUED)
        for _, id_, generation, status, _ in rows
    }
    left = Decision(1, send=False)
    return [by_id.get(image.id, left) for image in step.images], change


async def requeue(connection: AsyncConnection, rows: Sequence[tuple[int, int, str, int]]) -> None:
    """Queue ended (and locked) rows again, given as key, generation, status, face count."""
    moment = now()
    columns = (
        "pk generation status face_count best_score least_score reason attempts consumer "
        "annotated_uri queued_at detected_at committed_at detect_ms code taken_at camera kind "
        "pages annotated_page drawing"
    )
    ended = (Status.QUEUED.value, 0, None, None, "", 0, "", None, moment, None, None, None)
    nothing = (*ended, None, None, None, Kind.PICTURE.value, 1, None, None)
    await bulk.update(
        connection, images, columns, [(pk, generation + 1, *nothing) for pk, generation, *_ in rows]
    )
    await bulk.select(
        connection,
        [("image", "bigint")],
        [(pk,) for pk, *_ in rows],
        "DELETE FROM found_faces WHERE image IN (SELECT image FROM {given}) RETURNING n",
    )
    await delete_pages(connection, [pk for pk, *_ in rows])
    await counters.turned(
        connection,
        [
            counters.Turn(pk, (status, face_count), (Status.QUEUED, 0))
            for pk, _, status, face_count in rows
        ],
    )


async def delete_pages(connection: AsyncConnection, images: Sequence[int]) -> None:
    """Delete the pages of some (locked) rows."""
    await bulk.select(
        connection,
        [("image", "bigint")],
        [(pk,) for pk in images],
        "DELETE FROM pages WHERE image IN (SELECT image FROM {given}) RETURNING n",
    )


async def _open_part(
    connection: AsyncConnection,
    key: int,
    part: int,
    uri: str | None,
    position: str,
    *,
    closed: bool = False,
) -> int:
    """Make a part's row where there is none (at its first step, or after a restored backup);
    how many were made. A part of one step is `closed` at once."""
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
    dialect: str, table: Table, *returned: Column[Any]
) -> Insert | ReturningInsert[Any]:
    """Insert a row unless its key is there already."""
    insert = postgres_insert if dialect == "postgresql" else sqlite_insert
    statement = insert(table).on_conflict_do_nothing()
    return statement.returning(*returned) if returned else statement
