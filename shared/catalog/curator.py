"""What people do afterwards: cancel, redo, forget. All in steps, and all repeatable."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Row, exists, or_, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import bulk, counters, current, queueing
from shared.catalog.filters import Filter, chosen
from shared.catalog.locks import COLUMNS, Key, LockedRow
from shared.catalog.naming import unname
from shared.catalog.reader import read_recipe
from shared.catalog.requeueing import requeue
from shared.catalog.schema import forgotten, images, memberships, submissions
from shared.catalog.transactions import Access, reads, writes
from shared.catalog.values import Expansion, Forgotten, QueuedImage, Redo, RedoStep, Requeued
from shared.errors import FacesError
from shared.messages import Status, now
from shared.reasons import Reason

STEP = 500
"""Rows changed in one transaction: the services get their turn in between."""


class Curator(Access):
    """Each method is one transaction, unless it says otherwise, and may be repeated.

    All raise `Unreachable` if the database does not answer.
    """

    async def cancel(self, submission: str) -> int:
        """Cancel a submission, in many transactions; how many of its images were not searched.

        They end as failed for the reason `cancelled`, except those that another submission waits
        for. Cancelling again goes on where the first was cut off.

        Raises:
            FacesError: the catalog does not know it.
        """
        await self._mark_cancelled(submission)
        total = 0
        while number := await self._cancel_some(submission, STEP):
            total += number
        return total

    @writes
    async def _mark_cancelled(self, connection: AsyncConnection, submission: str) -> None:
        """From here on nothing more is queued for a submission."""
        result = await connection.execute(
            update(submissions)
            .where(submissions.c.id == submission)
            .values(cancelled_at=now())
            .returning(submissions.c.pk)
        )
        if result.one_or_none() is None:
            raise FacesError(f"the catalog knows no submission {submission}")

    @writes
    async def _cancel_some(self, connection: AsyncConnection, submission: str, limit: int) -> int:
        """End some queued rows of a cancelled submission that no other one waits for.

        They end as failed rather than vanish: each image keeps its one row and its end, the
        history shows what happened, a late result finds a row that has ended, and a submission
        that names them later queues them again (`LockedRow.to_be_revived`).
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
            select(images.c.pk)
            .where(images.c.status == Status.QUEUED.value, mine, ~wanted)
            .order_by(images.c.pk)
            .limit(limit)
            .with_for_update(key_share=True, of=images)
        )
        locked = (await connection.execute(query)).scalars().all()
        # Once more, now that they are locked: another submission may just have named them.
        again = select(images.c.pk).where(images.c.pk.in_(locked), ~wanted)
        keys = (await connection.execute(again)).scalars().all()
        count, reason = len(keys), Reason.CANCELLED
        await bulk.update(
            connection,
            images,
            {
                "pk": keys,
                "status": [Status.FAILED.value] * count,
                "reason": [reason.meaning] * count,
                "code": [reason.value] * count,
                "committed_at": [now()] * count,
            },
        )
        failed = counters.State(Status.FAILED)
        await counters.turned(
            connection, [counters.Turn(key, counters.QUEUED, failed) for key in keys]
        )
        return count

    @writes
    async def redo(self, connection: AsyncConnection, request: Redo) -> RedoStep:
        """Queue some ended images again, under the next generation or under another recipe.

        The caller hands them on, then asks for the next step. A step that is repeated finds the
        images that it queued before by their membership, and answers the same.
        """
        key, _ = await queueing.submission_key(
            connection, request.submission, request.submission_name, request.submitted_at
        )
        rows = await _lock_for_redo(connection, request, key)
        reachable = [row for row in rows if row.source_uri is not None]
        if request.recipe is None:
            due = [_locked(row) for row in reachable if not row.mine]
            await requeue(connection, [row for row in due if row.ended])
        images_ = await _queue_for_redo(connection, request, key, reachable)
        after = rows[-1].pk if len(rows) == request.limit else None
        if after is None:
            await queueing.seal(connection, key, 0)
        return RedoStep(tuple(images_), len(rows) - len(reachable), after)

    @writes
    async def revive(self, connection: AsyncConnection, image: str, recipe: str) -> int | None:
        """Queue one image again, as its dead letter is retried; its generation from then on.

        One that is queued stays as it is, so that repeating this raises nothing; None where the
        catalog has no such row (any more).
        """
        query = select(*COLUMNS).where(images.c.id == image, images.c.recipe == recipe)
        query = query.with_for_update(key_share=True, of=images)
        found = (await connection.execute(query)).one_or_none()
        if found is None:
            return None
        row = LockedRow(*found)
        if not row.ended:
            return row.generation
        await requeue(connection, [row])
        return row.generation + 1

    @writes
    async def forget_some(
        self, connection: AsyncConnection, filter_: Filter, limit: int = STEP
    ) -> list[Forgotten]:
        """Delete some rows of a filter, with their faces and memberships; each leaves a tombstone.

        None are left when it answers none. Their objects are to be deleted after this: see
        `shared.verbs.forget`.
        """
        rows = await _locked_some(connection, filter_, limit)
        await unname(connection, rows)
        await _bury(connection, [_locked(row) for row in rows])
        gone = [
            current.source_of(row.source_uri, row.id)
            for row in rows
            if row.current == current.Currency.CURRENT
        ]
        await current.deleted(connection, gone)
        return [Forgotten(row.id, row.recipe, row.name) for row in rows]

    @reads
    async def uncleared(self, connection: AsyncConnection, limit: int = STEP) -> list[Key]:
        """(id, recipe) of forgotten images whose objects may still be there."""
        query = select(forgotten.c.id, forgotten.c.recipe).where(forgotten.c.cleared == 0)
        return [(row.id, row.recipe) for row in await connection.execute(query.limit(limit))]

    @writes
    async def clear(self, connection: AsyncConnection, keys: Sequence[Key]) -> None:
        """The objects of these forgotten images are deleted."""
        await bulk.change(
            connection,
            forgotten,
            {"id": [id_ for id_, _ in keys], "recipe": [recipe for _, recipe in keys]},
            "UPDATE forgotten SET cleared = 1 FROM {given} WHERE forgotten.id = given.id "
            "AND forgotten.recipe = given.recipe",
        )


def _locked(row: Row[*tuple[Any, ...]]) -> LockedRow:  # Any: columns of several types
    """What decides about a row that was selected, and locked, with more columns than these."""
    return LockedRow(*(getattr(row, name) for name in LockedRow._fields))


async def _lock_for_redo(
    connection: AsyncConnection, request: Redo, key: int
) -> Sequence[Row[Any]]:  # Any: a row mixes the types of its columns
    """The next rows of a redo, whose submission has this key; `mine`: it has queued them before."""
    mine = exists().where(memberships.c.submission == key, memberships.c.image == images.c.pk)
    rows = await chosen(connection, request.filter)
    fits = images.c.pk.in_(rows.with_only_columns(images.c.pk))
    ended = images.c.status != Status.QUEUED.value
    query = select(images, mine.label("mine")).where(images.c.pk > request.after)
    if request.recipe is None:
        query = query.where(or_(fits & ended, mine))
    else:
        query = query.where(fits & ended, images.c.recipe != request.recipe.id)
    query = query.order_by(images.c.pk).limit(request.limit)
    query = query.with_for_update(key_share=True, of=images)
    return (await connection.execute(query)).all()


async def _queue_for_redo(
    connection: AsyncConnection, request: Redo, key: int, rows: Sequence[Row[Any]]
) -> list[Requeued]:
    """Make images members of the redo's submission; those of them that are to be handed on."""
    by_recipe: dict[str, list[QueuedImage]] = {}
    for row in rows:
        image = QueuedImage(row.id, row.name, row.source_uri, row.source_version, row.bytes)
        id_ = row.recipe if request.recipe is None else request.recipe.id
        by_recipe.setdefault(id_, []).append(image)
    requeued: list[Requeued] = []
    for id_, found in sorted(by_recipe.items()):
        recipe = request.recipe or await read_recipe(connection, id_)
        expansion = Expansion(
            submission=request.submission,
            submission_name=request.submission_name,
            submitted_at=request.submitted_at,
            part=0,
            uri=None,
            recipe=recipe,
            position="",
            next_position="",
            images=found,
        )
        decisions = await queueing.queue_images(connection, expansion, key)
        requeued += [
            Requeued(image, recipe, decision.generation)
            for image, decision in zip(found, decisions, strict=True)
            if decision.send
        ]
    return requeued


async def _locked_some(
    connection: AsyncConnection, filter_: Filter, limit: int
) -> Sequence[Any]:  # Any: rows of what `LockedRow` says, with name and source
    """Some rows of a filter, locked behind the folders of their sources; none if none are left."""
    query = (await chosen(connection, filter_)).order_by(images.c.pk).limit(limit)
    query = query.with_only_columns(images.c.pk, images.c.id, images.c.source_uri)
    while found := (await connection.execute(query)).all():
        sources = (current.source_of(row.source_uri, row.id) for row in found)
        await current.hold_folders(connection, sources)
        locked = select(*COLUMNS, images.c.name, images.c.source_uri)
        locked = locked.where(images.c.pk.in_([row.pk for row in found])).order_by(images.c.pk)
        if rows := (await connection.execute(locked.with_for_update(of=images))).all():
            return rows  # else somebody else has deleted them meanwhile
    return ()


async def _bury(connection: AsyncConnection, rows: Sequence[LockedRow]) -> None:
    """Delete locked rows; each leaves a tombstone."""
    count = len(rows)
    await bulk.insert(
        connection,
        forgotten,
        {
            "id": [row.id for row in rows],
            "recipe": [row.recipe for row in rows],
            "generation": [row.generation for row in rows],
            "forgotten_at": [now()] * count,
            "cleared": [0] * count,
        },
        conflict="replace",
    )
    turns = [counters.Turn(row.pk, row.state, counters.ABSENT) for row in rows]
    await counters.turned(connection, turns)
    statement = "DELETE FROM images WHERE pk IN (SELECT pk FROM {given})"
    await bulk.change(connection, images, {"pk": [row.pk for row in rows]}, statement)
