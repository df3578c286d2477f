"""Upgrades: rows of every older schema are kept, and services of the last version go on."""

import hashlib
import sqlite3
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager, closing
from dataclasses import replace
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import inspect

from shared.catalog import Catalog, Filter, PassedOver, migrations
from shared.catalog.database import Database
from shared.catalog.schema import metadata
from shared.errors import SettingsError
from shared.messages import Kind, Page, Status
from shared.reasons import REVIVED, Reason
from tests.support.catalogs import RECIPE, result_of, some_images, step_of

TABLES, QUERIES, DETAILS, LOOKUPS = 1, 2, 3, 4
"""Versions of the schema, by what their last step brought."""

MOMENT = "2026-01-02T03:04:05.000006Z"

RECIPE_AND_SUBMISSION = (
    f"INSERT INTO recipes (id, json) VALUES ('{RECIPE.id}', '{RECIPE.model_dump_json()}')",
    "INSERT INTO submissions (pk, id, name, created_at) "
    f"VALUES (1, '{'1' * 32}', 'old', '{MOMENT}')",
)


async def make_schema(url: str, version: int, *statements: str) -> None:
    """A database as a program of that version leaves it, and then these statements."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(migrations, "STEPS", migrations.STEPS[:version])
        older = await Database.open(url)
    async with older.writing() as connection:
        for statement in statements:
            await connection.exec_driver_sql(statement)
    await older.close()


def old_row(name: str, status: str, **columns: object) -> str:
    """An INSERT of the columns that all versions have, and these."""
    values: dict[str, object] = {
        "id": hashlib.md5(name.encode()).hexdigest(),
        "recipe": RECIPE.id,
        "generation": 1,
        "submission_id": "1" * 32,
        "name": name,
        "status": status,
        "queued_at": MOMENT,
    }
    values |= columns
    literals = ", ".join(f"'{value}'" for value in values.values())
    return f"INSERT INTO images ({', '.join(values)}) VALUES ({literals})"


async def test_the_migrations_make_the_schema_that_the_queries_describe(catalog_url: str) -> None:
    database = await Database.open(catalog_url)

    async with database.reading() as connection:

        def columns(sync: object) -> dict[str, set[str]]:
            found = inspect(sync)
            return {
                table: {column["name"] for column in found.get_columns(table)}
                for table in found.get_table_names()
            }

        made = await connection.run_sync(columns)

    described = {table.name: {c.name for c in table.columns} for table in metadata.sorted_tables}
    assert made == described | {"schema_version": {"version"}}
    await database.close()


async def test_scores_are_gathered_from_the_faces_of_a_catalog_without_them(
    catalog_url: str,
) -> None:
    await make_schema(
        catalog_url,
        TABLES,
        *RECIPE_AND_SUBMISSION,
        old_row("old.jpg", "faces", pk=7, face_count=2),
        "INSERT INTO found_faces (image, n, x, y, w, h, score) "
        "VALUES (7, 0, 1, 2, 3, 4, 0.75), (7, 1, 1, 2, 3, 4, 0.5)",
    )

    catalog = await Catalog.open(catalog_url)

    (row,) = await catalog.reader.page(Filter(max_score=0.6, min_score=0.4))
    assert (row.name, [face.score for face in row.faces]) == ("old.jpg", [0.75, 0.5])
    assert await catalog.reader.page(Filter(min_score=0.8)) == []
    await catalog.close()


async def test_rows_of_before_are_pictures_of_one_page_by_the_first_version_of_drawing(
    catalog_url: str,
) -> None:
    await make_schema(
        catalog_url,
        QUERIES,
        *RECIPE_AND_SUBMISSION,
        old_row("old.jpg", "faces", pk=7, face_count=1, annotated_uri="file:///old.jpg"),
        "INSERT INTO found_faces (image, n, x, y, w, h, score) VALUES (7, 0, 1, 2, 3, 4, 0.75)",
    )

    catalog = await Catalog.open(catalog_url)

    (row,) = await catalog.reader.page(Filter())
    assert (row.kind, row.pages, row.searched, row.annotated_page) == ("picture", 1, (), None)
    assert (row.code, row.taken_at, row.camera, row.drawing) == (None, None, None, 1)
    assert [(face.score, face.page) for face in row.faces] == [(0.75, None)]
    assert row.annotated_uri == "file:///old.jpg"
    await catalog.close()


async def test_rows_of_before_are_not_said_to_be_cut_and_new_ones_are_found_by_it(
    catalog_url: str,
) -> None:
    await make_schema(
        catalog_url, LOOKUPS, *RECIPE_AND_SUBMISSION, old_row("old.jpg", "no_faces", pk=7)
    )

    catalog = await Catalog.open(catalog_url)

    (row,) = await catalog.reader.page(Filter())
    assert (row.name, row.cut) == ("old.jpg", False)
    assert await catalog.reader.page(Filter(cut=True)) == []
    await catalog.close()


async def test_rows_of_before_can_get_versions_that_are_the_same_picture(catalog_url: str) -> None:
    version = migrations.STEPS.index(migrations.SAME_AS)
    await make_schema(
        catalog_url,
        version,
        *RECIPE_AND_SUBMISSION,
        old_row("old.jpg", "no_faces", source_uri="file:///old.jpg", source_version="1-1", pk=7),
    )

    catalog = await Catalog.open(catalog_url)

    (row,) = await catalog.reader.page(Filter())
    await catalog.ledger.expect_version(row.id, "file:///old.jpg", "2-1")
    await catalog.ledger.set_version(row.id, "2-1", 5)
    (row,) = await catalog.reader.page(Filter())
    assert (row.name, row.source_version) == ("old.jpg", "2-1")
    assert await catalog.ledger.is_picture(row.id, "file:///old.jpg", "2-1")
    await catalog.close()


OLD_SENTENCES = {
    "cancelled": Reason.CANCELLED,
    "the highlighted picture was lost with Redis before it was stored; submit it again": (
        Reason.PICTURE_LOST
    ),
    "its bytes were lost with Redis before it was searched; submit it again": Reason.BYTES_LOST,
    "not a picture": None,
}


async def test_old_failures_get_the_code_of_their_sentence(catalog_url: str) -> None:
    rows = [old_row(sentence, "failed", reason=sentence) for sentence in OLD_SENTENCES]
    await make_schema(catalog_url, QUERIES, *RECIPE_AND_SUBMISSION, *rows)

    catalog = await Catalog.open(catalog_url)

    found = {row.reason: row.code async for row in catalog.reader.results(Filter())}
    assert found == OLD_SENTENCES
    await catalog.close()


def test_every_failure_that_is_revived_is_known_by_its_old_sentence() -> None:
    assert {Reason.of(None, sentence) for sentence in OLD_SENTENCES} == REVIVED | {Reason.ERROR}


@pytest.mark.parametrize("version", range(LOOKUPS, len(migrations.STEPS)))
async def test_rows_of_every_schema_since_the_fourth_go_on_being_used(
    catalog_url: str, version: int
) -> None:
    rows = [
        old_row(f"{n}.jpg", "no_faces", pk=n, source_uri=f"file:///{n}.jpg") for n in range(2, 6)
    ]
    await make_schema(catalog_url, version, *RECIPE_AND_SUBMISSION, *rows)

    catalog = await Catalog.open(catalog_url)

    kept = [row async for row in catalog.reader.results(Filter())]
    assert [(row.name, row.cut) for row in kept] == [(f"{n}.jpg", False) for n in range(2, 6)]
    passed = {"hidden": PassedOver(1, ".cache/")}
    await catalog.ledger.queue(replace(step_of([], "1" * 32), passed_over=passed))
    assert (await catalog.reader.submission("1" * 32)).passed_over == passed
    await catalog.close()


async def test_a_crash_between_two_steps_is_gone_on_from(catalog_url: str) -> None:
    await make_schema(catalog_url, DETAILS, *RECIPE_AND_SUBMISSION)

    catalog = await Catalog.open(catalog_url)

    assert (await catalog.reader.submission("1" * 32)).named == 0
    await catalog.close()


QUEUE_OF_BEFORE = (
    "INSERT INTO images (id, recipe, generation, submission_id, source_uri, source_version, name, "
    "bytes, status, queued_at) VALUES ('{id}', '{recipe}', 1, '{submission}', 'file:///a.jpg', "
    "'1-1', 'a.jpg', 10, 'queued', '{moment}') ON CONFLICT DO NOTHING"
)
COMMIT_OF_BEFORE = (
    "UPDATE images SET status = 'faces', face_count = 1, best_score = 0.5, least_score = 0.5, "
    "bytes = 10, width = 640, height = 480, format = 'JPEG', annotated_uri = NULL, reason = '', "
    "attempts = 1, consumer = 'detector-1', detected_at = '{moment}', committed_at = '{moment}', "
    "detect_ms = 20 WHERE id = '{id}'",
    "INSERT INTO found_faces (image, n, x, y, w, h, score, landmarks) "
    "SELECT pk, 0, 1, 2, 3, 4, 0.5, NULL FROM images WHERE id = '{id}'",
)
REQUEUE_OF_BEFORE = (
    "UPDATE images SET generation = generation + 1, status = 'queued', face_count = 0, "
    "best_score = NULL, least_score = NULL, reason = '', attempts = 0, consumer = '', "
    "annotated_uri = NULL, queued_at = '{moment}', detected_at = NULL, committed_at = NULL, "
    "detect_ms = NULL WHERE id = '{id}'",
    "DELETE FROM found_faces WHERE image IN (SELECT pk FROM images WHERE id = '{id}')",
)
FORGET_OF_BEFORE = (
    "INSERT INTO forgotten (id, recipe, generation, forgotten_at, cleared) "
    "VALUES ('{id}', '{recipe}', 1, '{moment}', 0)",
    "DELETE FROM images WHERE id = '{id}'",
)
READ_OF_BEFORE = (
    "SELECT images.pk, images.id, images.status, images.reason, images.face_count FROM images "
    "WHERE id = '{id}'",
    "SELECT image_id, recipe, n, x, y, w, h, score, landmarks FROM faces WHERE image_id = '{id}'",
)
"""What services of schema version 2 run, with the columns that they name."""


def of_before(statements: tuple[str, ...], image: str) -> list[str]:
    return [
        statement.format(id=image, recipe=RECIPE.id, submission="1" * 32, moment=MOMENT)
        for statement in statements
    ]


Run = Callable[[Iterable[str]], Awaitable[None]]
"""Runs statements one by one on the same connection."""


@asynccontextmanager
async def last_version(url: str) -> AsyncIterator[Run]:
    """A connection of a program of the last version, which keeps its prepared statements."""
    if url.startswith("sqlite"):
        file = Path(url.removeprefix("sqlite:///"))
        with closing(sqlite3.connect(file, isolation_level=None)) as opened:
            opened.execute("PRAGMA foreign_keys = ON")

            async def run_sqlite(statements: Iterable[str]) -> None:
                for statement in statements:
                    opened.execute(statement).fetchall()

            yield run_sqlite
        return
    connection = await asyncpg.connect(url)
    try:

        async def run_postgres(statements: Iterable[str]) -> None:
            for statement in statements:
                await connection.fetch(statement)

        yield run_postgres
    finally:
        await connection.close()


async def test_statements_of_the_last_version_go_on_while_and_after_the_schema_changes(
    catalog_url: str,
) -> None:
    await make_schema(catalog_url, QUERIES, *RECIPE_AND_SUBMISSION)
    image = "a" * 32
    every = [
        of_before(kind, image)
        for kind in (
            (QUEUE_OF_BEFORE,),
            COMMIT_OF_BEFORE,
            READ_OF_BEFORE,
            REQUEUE_OF_BEFORE,
            COMMIT_OF_BEFORE,
            FORGET_OF_BEFORE,
        )
    ]

    async with last_version(catalog_url) as run:
        await run([statement for statements in every for statement in statements])
        await run(["DELETE FROM forgotten"])
        catalog = await Catalog.open(catalog_url)
        for statements in every[:3]:
            await run(statements)

        (row,) = await catalog.reader.show(image)
        assert (row.status, row.face_count, len(row.faces)) == (Status.FACES, 1, 1)
        assert (row.code, row.kind, row.pages, row.drawing) == (None, "picture", 1, None)

        for statements in every[3:]:
            await run(statements)
        assert await catalog.reader.show(image) == []
        await catalog.close()


async def test_pages_that_a_redo_of_the_last_version_left_do_not_stay(catalog_url: str) -> None:
    catalog = await Catalog.open(catalog_url)
    (image,) = some_images(1)
    pages = tuple(Page(n=n, width=640, height=480) for n in (1, 2, 3))
    await catalog.ledger.queue(step_of([image]))
    first = result_of(image, kind=Kind.DOCUMENT, pages=3, searched=pages)
    await catalog.ledger.commit([first])

    async with last_version(catalog_url) as run:
        await run(of_before(REQUEUE_OF_BEFORE, image.id))
    await catalog.ledger.commit([first.model_copy(update={"generation": 2, "searched": pages[:1]})])

    (row,) = await catalog.reader.show(image.id)
    assert row.searched == pages[:1]
    await catalog.close()


async def test_what_a_writer_of_the_last_version_commits_is_of_the_first_drawing(
    catalog_url: str,
) -> None:
    catalog = await Catalog.open(catalog_url)
    (image,) = some_images(1)
    key = f"{RECIPE.id}/{image.id}.jpg"
    await catalog.ledger.queue(step_of([image]))
    await catalog.ledger.commit([result_of(image, annotated=key, drawing=2)])
    await catalog.curator.revive(image.id, RECIPE.id)

    async with last_version(catalog_url) as run:
        await run(of_before(COMMIT_OF_BEFORE, image.id))
        await run([f"UPDATE images SET annotated_uri = '{key}'"])

    (row,) = await catalog.reader.show(image.id)
    assert row.drawing == 1
    assert await catalog.reader.drawn_before(2) == 1
    await catalog.close()


async def test_of_the_versions_of_before_the_newest_counts(
    catalog_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "RANGE", 2)
    sources = {1: "a", 2: "b", 3: "a", 4: "a", 5: "c"}
    await make_schema(
        catalog_url,
        LOOKUPS,
        *RECIPE_AND_SUBMISSION,
        *(
            old_row(f"{source}{pk}.jpg", "no_faces", pk=pk, source_uri=f"file:///{source}.jpg")
            for pk, source in sources.items()
        ),
        old_row("sent.jpg", "no_faces", pk=6),
    )

    catalog = await Catalog.open(catalog_url)

    found = {row.cursor async for row in catalog.reader.results(Filter(current=True))}
    assert found == {2, 4, 5, 6}
    assert [row.orientation async for row in catalog.reader.results(Filter())] == [None] * 6
    await catalog.close()


async def test_a_step_in_ranges_that_was_cut_off_is_done_by_the_next_start(
    catalog_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrations, "RANGE", 2)
    rows = [old_row(f"{n}.jpg", "no_faces", pk=n, source_uri="file:///a.jpg") for n in range(1, 7)]
    await make_schema(catalog_url, LOOKUPS, *RECIPE_AND_SUBMISSION, *rows)
    whole, ranges = migrations._each_range, []

    async def cut_off(writing: migrations.Transacting, statement: str) -> None:
        ranges.append(statement)
        async with writing() as connection:
            await connection.exec_driver_sql(statement.format(after=0, last=2))
        raise SettingsError("killed")

    monkeypatch.setattr(migrations, "_each_range", cut_off)
    with pytest.raises(SettingsError):
        await Catalog.open(catalog_url)
    monkeypatch.setattr(migrations, "_each_range", whole)

    catalog = await Catalog.open(catalog_url)

    assert len(ranges) == 1
    found = [row.cursor async for row in catalog.reader.results(Filter(current=True))]
    assert found == [6]
    await catalog.close()
