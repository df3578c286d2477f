"""One current row a source: the one that was named last, whenever results come."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta

import pytest
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import Catalog, Filter, QueuedImage, Redo
from shared.catalog import current as current_rows
from shared.identity import reference_id
from shared.messages import Status, new_token, now
from shared.recipe import Mode, Recipe
from tests.support.catalogs import RECIPE, failure, nothing_found, result_of, some_images, step_of
from tests.support.waiting import wait_until

HIDING = Recipe(model="yunet", model_version="test", mode=Mode.BLUR)

URI = "file:///holiday/a.jpg"


def version(number: int, uri: str | None = URI) -> QueuedImage:
    """A version of one file."""
    return QueuedImage(new_token(), "a.jpg", uri, f"{number}-1", 1000)


async def named(
    catalog: Catalog, *images: QueuedImage, recipe: Recipe = RECIPE, submission: str | None = None
) -> None:
    """A submission names these, in one step."""
    await catalog.ledger.queue(step_of(images, submission or new_token(), recipe=recipe))


async def shown(catalog: Catalog, recipe: str | None = None) -> list[tuple[str, str, Status]]:
    """Id, recipe and status of what results speak of."""
    filter_ = Filter(current=True, recipe=recipe)
    return [(row.id, row.recipe, row.status) async for row in catalog.reader.results(filter_)]


async def test_a_new_version_takes_the_place_of_the_old_one_when_it_ends(catalog: Catalog) -> None:
    old, new = version(1), version(2)
    await named(catalog, old)
    assert await shown(catalog) == [(old.id, RECIPE.id, Status.QUEUED)]
    await catalog.ledger.commit([result_of(old)])

    await named(catalog, new)
    assert await shown(catalog) == [(old.id, RECIPE.id, Status.FACES)]

    await catalog.ledger.commit([nothing_found(new)])
    assert await shown(catalog) == [(new.id, RECIPE.id, Status.NO_FACES)]
    everything = [row.current async for row in catalog.reader.results(Filter())]
    assert everything == [False, True]


async def test_a_failure_is_over_once_the_file_is_replaced(catalog: Catalog) -> None:
    broken, whole = version(1), version(2)
    await named(catalog, broken)
    await catalog.ledger.commit([failure(broken)])
    await named(catalog, whole)
    await catalog.ledger.commit([result_of(whole)])

    failed = Filter(statuses=(Status.FAILED,), current=True)

    assert await catalog.reader.page(failed) == []


async def test_what_was_not_searched_yet_gives_way_at_once(catalog: Catalog) -> None:
    first, second = version(1), version(2)
    await named(catalog, first)
    await named(catalog, second)
    assert await shown(catalog) == [(second.id, RECIPE.id, Status.QUEUED)]


async def test_a_late_result_of_an_older_version_does_not_become_current(catalog: Catalog) -> None:
    first, second, third = version(1), version(2), version(3)
    await named(catalog, first)
    await catalog.ledger.commit([result_of(first)])
    await named(catalog, second)
    await named(catalog, third)

    await catalog.ledger.commit([result_of(second)])
    assert await shown(catalog) == [(first.id, RECIPE.id, Status.FACES)]
    await catalog.ledger.commit([result_of(third)])
    assert await shown(catalog) == [(third.id, RECIPE.id, Status.FACES)]


async def test_of_results_in_one_commit_the_version_that_was_named_last_counts(
    catalog: Catalog,
) -> None:
    first, second = version(1), version(2)
    await named(catalog, first)
    await named(catalog, second)
    await catalog.ledger.commit([result_of(second), result_of(first)])
    assert await shown(catalog) == [(second.id, RECIPE.id, Status.FACES)]


async def test_a_version_that_comes_back_is_current_again_without_a_search(
    catalog: Catalog,
) -> None:
    old, new = version(1), version(2)
    await named(catalog, old)
    await catalog.ledger.commit([result_of(old)])
    await named(catalog, new)
    await catalog.ledger.commit([result_of(new)])

    await named(catalog, old)

    assert await shown(catalog) == [(old.id, RECIPE.id, Status.FACES)]


async def test_another_recipe_takes_the_place_and_gives_it_back(catalog: Catalog) -> None:
    picture = version(1)
    await named(catalog, picture)
    await catalog.ledger.commit([result_of(picture)])
    await named(catalog, picture, recipe=HIDING)
    assert await shown(catalog) == [(picture.id, RECIPE.id, Status.FACES)]

    await catalog.ledger.commit([result_of(picture, recipe=HIDING)])
    assert await shown(catalog) == [(picture.id, HIDING.id, Status.FACES)]
    assert await shown(catalog, RECIPE.id) == [(picture.id, RECIPE.id, Status.FACES)]

    await named(catalog, picture)
    assert await shown(catalog) == [(picture.id, RECIPE.id, Status.FACES)]


async def test_of_a_recipe_that_is_asked_for_only_the_newest_version_is_shown(
    catalog: Catalog,
) -> None:
    old, new = version(1), version(2)
    for image in (old, new):
        await named(catalog, image)
        await catalog.ledger.commit([result_of(image)])
    await named(catalog, new, recipe=HIDING)
    await catalog.ledger.commit([result_of(new, recipe=HIDING)])
    assert await shown(catalog, RECIPE.id) == [(new.id, RECIPE.id, Status.FACES)]


async def test_a_redo_keeps_a_row_where_it_is(catalog: Catalog) -> None:
    old, new = version(1), version(2)
    for image in (old, new):
        await named(catalog, image)
        await catalog.ledger.commit([result_of(image)])
    await catalog.curator.redo(Redo(new_token(), "again", now(), Filter()))

    await catalog.ledger.commit([result_of(new, 2)])
    await catalog.ledger.commit([result_of(old, 2)])

    assert await shown(catalog) == [(new.id, RECIPE.id, Status.FACES)]


async def test_a_cancelled_search_leaves_the_result_of_before(catalog: Catalog) -> None:
    old, new, submission = version(1), version(2), new_token()
    await named(catalog, old)
    await catalog.ledger.commit([result_of(old)])
    await named(catalog, new, submission=submission)
    await catalog.curator.cancel(submission)
    assert await shown(catalog) == [(old.id, RECIPE.id, Status.FACES)]

    await named(catalog, new)
    await catalog.ledger.commit([result_of(new, 2)])
    assert await shown(catalog) == [(new.id, RECIPE.id, Status.FACES)]


async def test_forgetting_sees_every_version_and_recipe(catalog: Catalog) -> None:
    old, new = version(1), version(2)
    for image in (old, new):
        await named(catalog, image)
        await catalog.ledger.commit([result_of(image)])
    assert len(await catalog.curator.forget_some(Filter(name="a.jpg"))) == 2
    assert [row async for row in catalog.reader.results(Filter())] == []


async def test_when_the_current_row_is_forgotten_the_newest_that_is_left_counts(
    catalog: Catalog,
) -> None:
    picture = version(1)
    await named(catalog, picture)
    await catalog.ledger.commit([result_of(picture)])
    await named(catalog, picture, recipe=HIDING)
    await catalog.ledger.commit([result_of(picture, recipe=HIDING)])
    await catalog.curator.forget_some(Filter(recipe=HIDING.id))
    assert await shown(catalog) == [(picture.id, RECIPE.id, Status.FACES)]


async def test_pictures_that_were_sent_along_are_sources_of_their_own(catalog: Catalog) -> None:
    one, other = version(1, None), version(2, None)
    await named(catalog, one, other)
    assert len(await shown(catalog)) == 2
    await catalog.ledger.commit([result_of(one), result_of(other)])
    await named(catalog, one, recipe=HIDING)
    await catalog.ledger.commit([result_of(one, recipe=HIDING)])
    assert sorted(await shown(catalog)) == sorted(
        [(one.id, HIDING.id, Status.FACES), (other.id, RECIPE.id, Status.FACES)]
    )


async def test_results_that_a_restored_database_never_named_come_in_the_order_of_naming(
    catalog: Catalog,
) -> None:
    first, second, third = version(1), version(2), version(3)
    times = {
        image.id: now() + timedelta(seconds=number)
        for number, image in enumerate((first, second, third))
    }
    results = [result_of(image, queued_at=times[image.id]) for image in (third, first)]
    await catalog.ledger.commit(results, take_unknown=True)
    assert await shown(catalog) == [(third.id, RECIPE.id, Status.FACES)]

    late = result_of(second, queued_at=times[second.id])
    await catalog.ledger.commit([late], take_unknown=True)
    assert await shown(catalog) == [(third.id, RECIPE.id, Status.FACES)]

    later = version(4)
    await catalog.ledger.commit(
        [result_of(later, queued_at=now() + timedelta(seconds=9))], take_unknown=True
    )
    assert await shown(catalog) == [(later.id, RECIPE.id, Status.FACES)]


async def test_two_that_name_versions_of_the_same_files_at_once_leave_one_current_row_each(
    catalog: Catalog,
) -> None:
    olds = some_images(60)
    news = [replace(image, id=new_token(), source_version="9-9") for image in olds]
    await asyncio.gather(*(named(catalog, *images) for images in (olds, news, olds, news[::-1])))
    await asyncio.gather(
        catalog.ledger.commit([result_of(image) for image in olds]),
        catalog.ledger.commit([result_of(image) for image in news]),
    )
    rows = [row async for row in catalog.reader.results(Filter(current=True))]
    assert sorted(str(row.source_uri) for row in rows) == sorted(
        str(image.source_uri) for image in olds
    )
    assert {row.status for row in rows} == {Status.FACES}


async def test_naming_what_is_current_and_ended_asks_for_no_other_rows(
    catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = some_images(3)
    await named(catalog, *images)
    await catalog.ledger.commit([result_of(image) for image in images])
    monkeypatch.delattr(current_rows, "_rivals")

    await named(catalog, *images)

    assert len(await shown(catalog)) == 3


@pytest.mark.postgres
async def test_on_postgresql_who_names_files_of_a_folder_waits_for_whoever_does_so_already(
    empty_postgres: str,
) -> None:
    catalog = await Catalog.open(empty_postgres)
    waiting = text(
        "SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted "
        f"AND classid = {current_rows.ADVISORY_CLASS}"
    )
    async with catalog.ledger._database.writing() as connection:
        await current_rows.hold_folders(connection, [URI])
        naming = asyncio.create_task(named(catalog, version(1)))
        waits = False
        while not waits and not naming.done():
            waits = bool(await connection.scalar(waiting))
        assert waits
    await naming
    assert len(await shown(catalog)) == 1
    await catalog.close()


@pytest.mark.postgres
async def test_a_version_that_is_named_while_the_one_before_is_forgotten_is_the_only_current_one(
    empty_postgres: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    catalog = await Catalog.open(empty_postgres)
    first, second, third = (version(number) for number in (1, 2, 3))
    for one in (first, second):
        await named(catalog, one)
        await catalog.ledger.commit([result_of(one)])
    reached, on = asyncio.Event(), asyncio.Event()
    deleted = current_rows.deleted

    async def slowly(connection: AsyncConnection, sources: Sequence[str]) -> None:
        await deleted(connection, sources)
        reached.set()
        await on.wait()

    monkeypatch.setattr(current_rows, "deleted", slowly)
    forgetting = asyncio.create_task(catalog.curator.forget_some(Filter(image=second.id)))
    await reached.wait()
    naming = asyncio.create_task(named(catalog, third))
    async with catalog.ledger._database.writing() as connection:
        await wait_until(lambda: naming.done() or _waits(connection), "it waits, or is through")
    on.set()
    assert [one.id for one in await forgetting] == [second.id]
    await naming
    await catalog.ledger.commit([result_of(third)])
    assert [id_ for id_, _, _ in await shown(catalog)] == [third.id]
    await catalog.close()


async def _waits(connection: AsyncConnection) -> bool:
    """Whether somebody waits for a lock."""
    waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
    return bool(await connection.scalar(waiting))


async def test_a_version_that_is_the_same_picture_is_found_finished_under_its_first_id(
    catalog: Catalog,
) -> None:
    first = replace(version(1), id=reference_id(URI, "1-1"))
    again = replace(version(2), id=reference_id(URI, "2-1"))
    await named(catalog, first)
    await catalog.ledger.commit([result_of(first)])

    await catalog.ledger.expect_version(first.id, URI, "2-1")
    (decision,) = await catalog.ledger.queue(step_of([again], new_token()))
    assert (decision.send, decision.image) == (False, first.id)
    assert await shown(catalog) == [(first.id, RECIPE.id, Status.FACES)]

    await catalog.ledger.set_version(first.id, "2-1", 1234)
    (row,) = [row async for row in catalog.reader.results(Filter())]
    assert (row.source_version, row.bytes) == ("2-1", 1234)
    assert await catalog.ledger.is_picture(first.id, URI, "1-1")
    assert await catalog.ledger.is_picture(first.id, URI, "2-1")
    assert not await catalog.ledger.is_picture(first.id, URI, "3-1")


async def test_under_another_recipe_the_version_that_is_there_is_searched_as_the_same_picture(
    catalog: Catalog,
) -> None:
    first = replace(version(1), id=reference_id(URI, "1-1"))
    again = replace(version(2), id=reference_id(URI, "2-1"))
    await named(catalog, first)
    await catalog.ledger.commit([result_of(first)])
    await catalog.ledger.expect_version(first.id, URI, "2-1")

    (decision,) = await catalog.ledger.queue(step_of([again], new_token(), recipe=HIDING))

    assert (decision.send, decision.image) == (True, first.id)
    rows = [row async for row in catalog.reader.results(Filter(recipe=HIDING.id))]
    assert [(row.id, row.source_version) for row in rows] == [(first.id, "2-1")]


async def test_a_picture_that_was_forgotten_comes_back_only_when_it_is_named_on_purpose(
    catalog: Catalog,
) -> None:
    first = replace(version(1), id=reference_id(URI, "1-1"))
    again = replace(version(2), id=reference_id(URI, "2-1"))
    await named(catalog, first)
    await catalog.ledger.commit([result_of(first)])
    await catalog.ledger.expect_version(first.id, URI, "2-1")
    before = step_of([again], new_token())
    await catalog.curator.forget_some(Filter())

    (left,) = await catalog.ledger.queue(before)
    (back,) = await catalog.ledger.queue(step_of([again], new_token()))

    assert not left.send
    assert (back.send, back.generation) == (True, 2)
