"""What people do to the ledger afterwards: cancel, redo, forget. All in steps, all repeatable."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import bulk, counters, queueing
from shared.catalog.queries import Filter, chosen
from shared.catalog.schema import forgotten, images, memberships, recipes, submissions
from shared.catalog.values import CANCELLED, QueuedImage, Step
from shared.errors import FacesError
from shared.messages import Status, now
from shared.reasons import Reason
from shared.recipe import Recipe

ENDED = (Status.FACES.value, Status.NO_FACES.value, Status.FAILED.value)


@dataclass(frozen=True)
class Redo:
    """One step of doing images again. `recipe` of None: each under its own, once more.

    The images get a submission of their own, whose progress says how far they are.
    """

    submission: str
    submission_name: str
    submitted_at: datetime
    filter: Filter
    recipe: Recipe | None = None
    after: int = 0
    limit: int = 500


@dataclass(frozen=True)
class Again:
    """An image to be handed on, under this recipe and generation."""

    image: QueuedImage
    recipe: Recipe
    generation: int


@dataclass(frozen=True)
class RedoStep:
    """What one step of a redo found. `after` of None: that was the last.

    `unreachable` were sent along with their bytes, which nobody kept: only who has them can send
    them again.
    """

    images: tuple[Again, ...]
    unreachable: int
    after: int | None


async def mark_cancelled(connection: AsyncConnection, submission: str) -> None:
    """From here on nothing more is queued for a submission."""
    result = await connection.execute(
        update(submissions)
        .where(submissions.c.id == submission)
        .values(cancelled_at=now())
        .returning(submissions.c.pk)
    )
    if result.one_or_none() is None:
        raise FacesError(f"the catalog knows no submission {submission}")


async def cancel_some(connection: AsyncConnection, submission: str, limit: int) -> int:
    """End some queued rows of a cancelled submission that no other one waits for.

    They end as failed, with the reason "cancelled", rather than vanish: each image keeps its one
    row and its end, the history shows what happened, a late result finds a row that has ended,
    and a submission that names them later queues them again (see `shared.reasons.REVIVED`).
    """
    member = (
        select(memberships.c.image)
        .join(submissions, submissions.c.pk == memberships.c.submission)
        .where(memberships.c.image == images.c.pk)
        .correlate(images)
    )
    wanted = member.where(submissions.c.cancelled_at.is_(None)).exists()
    mine = member.where(submissions.c.id == submission).exists()
    query = (
        select(images.c.pk, images.c.status, images.c.face_count)
        .where(images.c.status == Status.QUEUED.value, mine, ~wanted)
        .order_by(images.c.pk)
        .limit(limit)
        .with_for_update(key_share=True, of=images)
    )
    locked = [row.pk for row in await connection.execute(query)]
    # Once more, now that they are locked: another submission may just have named them.
    again = select(images.c.pk).where(images.c.pk.in_(locked), ~wanted)
    keys = [row.pk for row in await connection.execute(again)]
    moment = now()
    await bulk.update(
        connection,
        images,
        "pk status reason code committed_at",
        [(key, Status.FAILED.value, CANCELLED, Reason.CANCELLED.value, moment) for key in keys],
    )
    await counters.turned(
        connection,
        [counters.Turn(key, (Status.QUEUED, 0), (Status.FAILED, 0)) for key in keys],
    )
    return len(keys)


async def redo(connection: AsyncConnection, request: Redo) -> RedoStep:
    """Queue some ended images again, under the next generation or under another recipe.

    Repeating a step finds the images that it queued before by their membership, and hands them
    on again under the generation they have now.
    """
    key, _ = await queueing.submission_key(
        connection, request.submission, request.submission_name, request.submitted_at
    )
    postgres = connection.dialect.name == "postgresql"
    mine = exists().where(memberships.c.submission == key, memberships.c.image == images.c.pk)
    fits = images.c.pk.in_(chosen(request.filter, postgres).with_only_columns(images.c.pk))
    ended = images.c.status.in_(ENDED)
    query = select(images, mine.label("mine")).where(images.c.pk > request.after)
    if request.recipe is None:
        query = query.where(or_(fits & ended, mine))
    else:
        query = query.where(fits & ended, images.c.recipe != request.recipe.id)
    query = query.order_by(images.c.pk).limit(request.limit)
    rows = (await connection.execute(query.with_for_update(key_share=True, of=images))).all()
    reachable = [row for row in rows if row.source_uri is not None]
    if request.recipe is None:
        due = [row for row in reachable if row.status in ENDED and not row.mine]
        await queueing.requeue(
            connection, [(row.pk, row.generation, row.status, row.face_count) for row in due]
        )
    again = await _hand_on(connection, request, key, reachable)
    after = rows[-1].pk if len(rows) == request.limit else None
    if after is None:
        await queueing.seal(connection, key, 0)
    return RedoStep(tuple(again), len(rows) - len(reachable), after)


async def revive(connection: AsyncConnection, image: str, recipe: str) -> int | None:
    """Queue one image again if it has ended; the generation that its row has then."""
    query = select(images).where(images.c.id == image, images.c.recipe == recipe)
    row = (await connection.execute(query.with_for_update(key_share=True, of=images))).one_or_none()
    if row is None:
        return None
    generation = int(row.generation)
    if row.status not in ENDED:
        return generation
    await queueing.requeue(connection, [(row.pk, generation, row.status, row.face_count)])
    return generation + 1


async def _hand_on(
    connection: AsyncConnection, request: Redo, key: int, rows: Sequence[Row[Any]]
) -> list[Again]:
    again: list[Again] = []
    by_recipe: dict[str, list[QueuedImage]] = {}
    for row in rows:
        image = QueuedImage(row.id, row.name, row.source_uri, row.source_version, row.bytes)
        name = row.recipe if request.recipe is None else request.recipe.id
        by_recipe.setdefault(name, []).append(image)
    for name, found in sorted(by_recipe.items()):
        recipe = request.recipe or await read_recipe(connection, name)
        step = Step(
            request.submission,
            request.submission_name,
            request.submitted_at,
            0,
            None,
            recipe,
            "",
            "",
            found,
        )
        decisions = await queueing.queue_images(connection, step, key)
        again += [
            Again(image, recipe, decision.generation)
            for image, decision in zip(found, decisions, strict=True)
            if decision.send
        ]
    return again


async def read_recipe(connection: AsyncConnection, name: str) -> Recipe:
    """What a recipe's short name stands for."""
    text = await connection.scalar(select(recipes.c.json).where(recipes.c.id == name))
    if text is None:
        raise FacesError(f"the catalog knows no recipe {name}")
    return Recipe.model_validate_json(text)


async def forget_some(
    connection: AsyncConnection, filter_: Filter, limit: int
) -> list[tuple[str, str, str]]:
    """Delete some rows of a filter, with their faces and memberships; leaves tombstones.

    Returns id, recipe and name of each. Their objects are to be deleted after this has been
    committed; `uncleared` names those for which that may not have happened yet.
    """
    query = chosen(filter_, connection.dialect.name == "postgresql")
    query = query.order_by(images.c.pk).limit(limit).with_for_update(of=images)
    rows = (await connection.execute(query)).all()
    moment = now()
    await bulk.insert(
        connection,
        forgotten,
        "id recipe generation forgotten_at cleared",
        [(row.id, row.recipe, row.generation, moment, 0) for row in rows],
        conflict="replace",
    )
    await counters.turned(
        connection,
        [counters.Turn(row.pk, (row.status, row.face_count), ("", 0)) for row in rows],
    )
    await bulk.select(
        connection,
        [("pk", "bigint")],
        [(row.pk,) for row in rows],
        "DELETE FROM images WHERE pk IN (SELECT pk FROM {given}) RETURNING pk",
    )
    return [(row.id, row.recipe, row.name) for row in rows]


async def uncleared(connection: AsyncConnection, limit: int) -> list[tuple[str, str]]:
    """Id and recipe of forgotten images whose objects may still be there."""
    query = select(forgotten.c.id, forgotten.c.recipe).where(forgotten.c.cleared == 0)
    return [(row.id, row.recipe) for row in await connection.execute(query.limit(limit))]


async def clear(connection: AsyncConnection, keys: Sequence[tuple[str, str]]) -> None:
    """The objects of these forgotten images are gone."""
    await bulk.select(
        connection,
        [("id", "text"), ("recipe", "text")],
        keys,
        "UPDATE forgotten SET cleared = 1 FROM {given} WHERE forgotten.id = given.id "
        "AND forgotten.recipe = given.recipe RETURNING forgotten.id",
    )
