"""What people ask: which images, in pages; one picture's history; where submissions stand."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import bulk, plans, submissions
from shared.catalog.filters import Filter, chosen, is_cut, is_drawn
from shared.catalog.locks import Key
from shared.catalog.rows import Rows, as_images
from shared.catalog.schema import images, memberships, recipes
from shared.catalog.schema import submissions as submissions_table
from shared.catalog.texts import safe
from shared.catalog.transactions import Access, reads
from shared.catalog.values import (
    ImageRow,
    Member,
    ObjectsOfRow,
    QueuedImage,
    QueuedRow,
    SubmissionStatus,
)
from shared.errors import FacesError
from shared.messages import Status
from shared.reasons import Reason
from shared.recipe import DRAWING_VERSION, Recipe

PAGE = 500
"""Rows read at a time when all are wanted: a stream of a million holds no more than these."""


class Reader(Access):
    """Each method is one transaction that changes nothing, unless it says otherwise.

    All raise `Unreachable` if the database does not answer.
    """

    @reads
    async def submission(self, connection: AsyncConnection, submission: str) -> SubmissionStatus:
        """Where a submission stands; the cost does not depend on its size.

        Raises:
            FacesError: the catalog does not know it.
        """
        return await submissions.status_of(connection, submission)

    @reads
    async def submissions(
        self, connection: AsyncConnection, limit: int = 50, before: datetime | None = None
    ) -> list[SubmissionStatus]:
        """The newest submissions, of those created before `before` if that is given."""
        return await submissions.newest(connection, limit, before)

    @reads
    async def open_submissions(self, connection: AsyncConnection) -> tuple[int, datetime | None]:
        """How many are not complete, and when the oldest of them was created; looks at all."""
        return await submissions.still_open(connection)

    @reads
    async def members(
        self, connection: AsyncConnection, submission: str, after: int = 0, limit: int = 1000
    ) -> list[Member]:
        """A page of a submission's images, ended or not, behind the key `after`."""
        return await submissions.members(connection, submission, after, limit)

    @reads
    async def pace(
        self, connection: AsyncConnection, submission: str, seconds: float = 60
    ) -> float:
        """Images of a submission that ended each second, over the last `seconds`; 0 if none did."""
        return await submissions.pace(connection, submission, seconds)

    @reads
    async def page(
        self,
        connection: AsyncConnection,
        filter_: Filter,
        after: int = 0,
        limit: int = 50,
        faces: bool = True,
    ) -> list[ImageRow]:
        """At most `limit` rows of a filter, in the order in which they were first queued.

        They lie behind the row whose `cursor` is `after`.
        """
        postgres = connection.dialect.name == "postgresql"
        key = images.c.pk if filter_.submission is None else memberships.c.image
        query = (await chosen(connection, filter_)).where(key > after)
        keys = query.with_only_columns(key)
        few = filter_.few if postgres else 0
        if few:
            await plans.for_these_values(connection)
        if few and await plans.estimate(connection, keys) < few:
            query = plans.sort_late(keys, limit)
        else:
            query = query.order_by(key).limit(limit)
        rows = (await connection.execute(query)).all()
        return await as_images(connection, rows, faces=faces)

    async def results(
        self, filter_: Filter, limit: int | None = None, faces: bool = True, after: int = 0
    ) -> AsyncIterator[ImageRow]:
        """All rows of a filter behind the cursor `after`, or the first `limit` of them.

        They are read in pages, each in a transaction of its own: memory stays small, and what
        changes between two pages is seen.
        """
        left = limit
        while left is None or left > 0:
            size = PAGE if left is None else min(PAGE, left)
            rows = await self.page(filter_, after, size, faces)
            for row in rows:
                yield row
            if len(rows) < size:
                return
            after = rows[-1].cursor
            left = None if left is None else left - size

    @reads
    async def show(
        self, connection: AsyncConnection, name_or_id: str, recipe: str | None = None
    ) -> list[ImageRow]:
        """One picture's history: its row under each recipe, by its identity or whole name."""
        rows: Rows = ()
        for column in (images.c.id, images.c.name):
            query = select(images).where(column == safe(name_or_id))
            if recipe is not None:
                query = query.where(images.c.recipe == recipe)
            rows = rows or (await connection.execute(query.order_by(images.c.pk).limit(PAGE))).all()
        return await as_images(connection, rows)

    @reads
    async def recipe(self, connection: AsyncConnection, id_: str) -> Recipe:
        """The recipe of an id.

        Raises:
            FacesError: the catalog does not know it.
        """
        return await read_recipe(connection, id_)

    @reads
    async def recipes(self, connection: AsyncConnection) -> list[Recipe]:
        """All recipes that pictures were searched by; a newer program's with what is known here."""
        found = (await connection.execute(select(recipes.c.json))).scalars()
        return [Recipe.model_validate_json(text) for text in found]

    @reads
    async def number(self, connection: AsyncConnection, filter_: Filter) -> int:
        """How many rows a filter has; looks at each of them."""
        query = (await chosen(connection, filter_)).with_only_columns(func.count())
        return await connection.scalar(query) or 0

    @reads
    async def queued(
        self,
        connection: AsyncConnection,
        submission: str | None = None,
        after: int = 0,
        limit: int = PAGE,
    ) -> list[QueuedRow]:
        """A page of the rows that are queued: what to hand on if Redis has lost it."""
        filter_ = Filter(statuses=(Status.QUEUED,), submission=submission)
        query = (
            (await chosen(connection, filter_))
            .add_columns(recipes.c.json)
            .join(recipes, recipes.c.id == images.c.recipe)
            .where(images.c.pk > after)
            .order_by(images.c.pk)
            .limit(limit)
        )
        return [
            QueuedRow(
                cursor=row.pk,
                image=QueuedImage(row.id, row.name, row.source_uri, row.source_version, row.bytes),
                recipe=Recipe.model_validate_json(row.json),
                generation=row.generation,
                submission=row.submission_id,
                queued_at=row.queued_at,
            )
            for row in await connection.execute(query)
        ]

    @reads
    async def objects_of(
        self, connection: AsyncConnection, keys: Sequence[Key]
    ) -> dict[Key, ObjectsOfRow]:
        """What the rows of these (id, recipe) say of their objects; without a row, no entry."""
        found = await bulk.select(
            connection,
            images,
            {"id": [id_ for id_, _ in keys], "recipe": [recipe for _, recipe in keys]},
            "SELECT images.id, images.recipe, images.generation, images.status, "
            "images.annotated_uri, images.face_count "
            "FROM {given} JOIN images ON images.id = given.id AND images.recipe = given.recipe",
            _Objects,
        )
        return {
            (row.id, row.recipe): ObjectsOfRow(
                generation=row.generation,
                awaited=row.status == Status.QUEUED,
                annotated_uri=row.annotated_uri,
                crops=row.face_count,
            )
            for row in found
        }

    @reads
    async def asked_for(self, connection: AsyncConnection, keys: Sequence[Key]) -> set[Key]:
        """Which of these (id, recipe) somebody asked for: there is a row, or it was forgotten."""
        found = await bulk.select(
            connection,
            images,
            {"id": [id_ for id_, _ in keys], "recipe": [recipe for _, recipe in keys]},
            "SELECT given.id, given.recipe FROM {given} WHERE "
            "EXISTS (SELECT 1 FROM images "
            "WHERE images.id = given.id AND images.recipe = given.recipe) "
            "OR EXISTS (SELECT 1 FROM forgotten "
            "WHERE forgotten.id = given.id AND forgotten.recipe = given.recipe)",
            _AskedFor,
        )
        return {(row.id, row.recipe) for row in found}

    @reads
    async def drawn_before(
        self,
        connection: AsyncConnection,
        version: int = DRAWING_VERSION,
        submission: str | None = None,
    ) -> int:
        """How many annotated pictures a version of drawing below this one made: of a submission,
        or of all. If there are none, it costs one look into an index."""
        oldest = await connection.scalar(select(func.min(images.c.drawing)).where(is_drawn))
        if oldest is None or oldest >= version:
            return 0
        filter_ = Filter(drawn_before=version, submission=submission, current=submission is None)
        query = await chosen(connection, filter_)
        return await connection.scalar(query.with_only_columns(func.count())) or 0

    @reads
    async def not_read(self, connection: AsyncConnection, submission: str) -> dict[str, int]:
        """How many files of a submission are of kinds that are not read, by the sentence of each;
        found by the index of codes."""
        query = (
            select(images.c.reason, func.count().label("number"))
            .join(memberships, memberships.c.image == images.c.pk)
            .join(submissions_table, submissions_table.c.pk == memberships.c.submission)
            .where(images.c.code == Reason.UNSUPPORTED.value)
            .where(images.c.reason.startswith("not read: "), submissions_table.c.id == submission)
            .group_by(images.c.reason)
            .order_by(func.count().desc())
            .limit(KINDS_NOT_READ)
        )
        found = (await connection.execute(query)).all()
        return {row.reason: row.number for row in found}

    @reads
    async def cut(self, connection: AsyncConnection, submission: str) -> int:
        """How many files of a submission end before their pictures do. If there are none, it costs
        one look into an index."""
        if await connection.scalar(select(images.c.pk).where(is_cut).limit(1)) is None:
            return 0
        query = await chosen(connection, Filter(cut=True, submission=submission))
        return await connection.scalar(query.with_only_columns(func.count())) or 0


KINDS_NOT_READ = 100
"""Most sentences told of what was not read."""


class _AskedFor(NamedTuple):
    id: str
    recipe: str


class _Objects(NamedTuple):
    id: str
    recipe: str
    generation: int
    status: str
    annotated_uri: str | None
    face_count: int


async def read_recipe(connection: AsyncConnection, id_: str) -> Recipe:
    """The recipe of an id; errors as `Reader.recipe`."""
    text = await connection.scalar(select(recipes.c.json).where(recipes.c.id == id_))
    if text is None:
        raise FacesError(f"the catalog knows no recipe {id_}")
    return Recipe.model_validate_json(text)
