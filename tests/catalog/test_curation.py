"""What people do afterwards: cancel, redo, forget, sweep; each can be cut off and repeated."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from itertools import islice
from pathlib import Path

import pytest
from sqlalchemy import select

from shared.catalog import Catalog, Filter, QueuedImage, Redo
from shared.catalog.locks import LockedRow
from shared.catalog.schema import parts
from shared.errors import FacesError, Unreachable
from shared.messages import Kind, Page, Status, now
from shared.picture_keys import PictureKeys
from shared.recipe import Mode, Recipe
from shared.stores.objects import Objects
from shared.verbs.forget import forget
from shared.verbs.showing import showing
from shared.verbs.sweep import sweep
from tests.support.catalogs import RECIPE, failure, nothing_found, result_of, some_images, step_of

ONE, TWO, AGAIN = "1" * 32, "2" * 32, "a" * 32


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects.open(f"file://{tmp_path}/objects")


async def listed(names: AsyncIterator[str]) -> list[str]:
    return sorted([name async for name in names])


async def keys_of(objects: Objects) -> list[str]:
    return sorted([found.key async for found in objects.list()])


def key_of(image: QueuedImage) -> str:
    return f"{RECIPE.id}/{image.id}.jpg"


async def test_cancelling_ends_what_waits_and_keeps_what_ended(catalog: Catalog) -> None:
    images = some_images(3)
    await catalog.ledger.queue(step_of(images, ONE, after="3"))
    await catalog.ledger.commit([result_of(images[0])])

    assert await catalog.curator.cancel(ONE) == 2
    assert await catalog.curator.cancel(ONE) == 0

    progress = await catalog.reader.submission(ONE)
    assert (progress.cancelled, progress.complete) == (True, True)
    assert (progress.with_faces, progress.failed, progress.queued) == (1, 2, 0)
    assert (await catalog.ledger.commit([result_of(images[1])])).won == 0


async def test_cancelling_leaves_what_another_submission_waits_for(catalog: Catalog) -> None:
    images = some_images(3)
    await catalog.ledger.queue(step_of(images, ONE))
    await catalog.ledger.queue(step_of(images[:1], TWO))

    assert await catalog.curator.cancel(ONE) == 2

    assert (await catalog.reader.submission(TWO)).queued == 1
    assert (await catalog.ledger.commit([result_of(images[0])])).won == 1


async def test_nothing_more_is_queued_for_a_cancelled_submission(catalog: Catalog) -> None:
    images = some_images(2)
    await catalog.ledger.queue(step_of(images[:1], ONE, after="1"))
    await catalog.curator.cancel(ONE)

    decisions = await catalog.ledger.queue(step_of(images[1:], ONE, before="1", after="2"))

    assert [decision.send for decision in decisions] == [False]
    progress = await catalog.reader.submission(ONE)
    assert (progress.named, progress.parts_open) == (1, 0)


async def test_cancelling_what_is_not_there_is_an_error_for_people(catalog: Catalog) -> None:
    with pytest.raises(FacesError, match="no submission"):
        await catalog.curator.cancel(ONE)


def redo(filter_: Filter, **more: object) -> Redo:
    return Redo(AGAIN, "again", now(), filter_, **more)  # type: ignore[arg-type]  # fields of it


async def test_a_redo_queues_under_the_next_generation_and_has_its_own_progress(
    catalog: Catalog,
) -> None:
    images = some_images(3)
    await catalog.ledger.queue(step_of(images, ONE))
    await catalog.ledger.seal(ONE, 1)
    await catalog.ledger.commit([result_of(images[0]), failure(images[1]), failure(images[2])])

    step = await catalog.curator.redo(redo(Filter(statuses=(Status.FAILED,))))

    assert step.after is None
    assert [(one.image.id, one.generation, one.recipe) for one in step.images] == [
        (image.id, 2, RECIPE) for image in images[1:]
    ]
    progress = await catalog.reader.submission(AGAIN)
    assert (progress.named, progress.queued, progress.skipped) == (2, 2, 0)
    assert not (await catalog.reader.submission(ONE)).complete
    assert (await catalog.ledger.commit([result_of(images[1], generation=1)])).won == 0
    report = await catalog.ledger.commit([result_of(image, generation=2) for image in images[1:]])
    assert report.won == 2
    for submission in (ONE, AGAIN):
        assert (await catalog.reader.submission(submission)).complete
    assert (await catalog.reader.submission(ONE)).faces == 6


async def test_a_redo_leaves_nothing_of_what_was_found_before(catalog: Catalog) -> None:
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image], ONE))
    (before,) = await catalog.reader.show(image.id)
    await catalog.ledger.commit(
        [
            result_of(
                image,
                taken_at="2019-06-01T12:00:00",
                camera="Canon",
                kind=Kind.DOCUMENT,
                pages=2,
                searched=(Page(n=1), Page(n=2)),
                annotated=key_of(image),
                annotated_page=2,
                drawing=1,
                code="told_by_mistake",
            )
        ]
    )

    await catalog.curator.redo(redo(Filter()))

    (row,) = await catalog.reader.show(image.id)
    assert row == replace(
        before,
        generation=2,
        queued_at=row.queued_at,
        width=640,
        height=480,
        format="JPEG",
        bytes=None,
    )


async def test_a_repeated_redo_step_hands_on_the_same_images_once_raised(catalog: Catalog) -> None:
    images = some_images(5)
    await catalog.ledger.queue(step_of(images, ONE))
    await catalog.ledger.commit([failure(image) for image in images])
    request = redo(Filter(statuses=(Status.FAILED,)), limit=3)

    first = await catalog.curator.redo(request)
    assert await catalog.curator.redo(request) == first
    await catalog.ledger.commit([result_of(first.images[0].image, generation=2)])
    assert (await catalog.curator.redo(request)).images == first.images[1:]

    assert first.after is not None
    rest = await catalog.curator.redo(
        redo(Filter(statuses=(Status.FAILED,)), limit=3, after=first.after)
    )
    assert len(rest.images) == 2
    assert {one.generation for one in (*first.images, *rest.images)} == {2}
    assert (await catalog.reader.submission(AGAIN)).named == 5


async def test_a_redo_under_another_recipe_keeps_the_old_rows(catalog: Catalog) -> None:
    images = some_images(2)
    better = Recipe(model="yunet", model_version="test", accurate=True)
    await catalog.ledger.queue(step_of(images, ONE))
    await catalog.ledger.commit([result_of(images[0]), nothing_found(images[1])])

    step = await catalog.curator.redo(redo(Filter(), recipe=better))

    assert [(one.recipe, one.generation) for one in step.images] == [(better, 1)] * 2
    assert (await catalog.reader.submission(ONE)).ended == 2
    assert len(await catalog.reader.show(images[0].id)) == 2


async def test_a_redo_says_how_many_have_no_source(catalog: Catalog) -> None:
    sent = QueuedImage("f" * 32, "sent.jpg")
    await catalog.ledger.queue(step_of([sent], ONE))
    await catalog.ledger.commit([failure(sent)])

    step = await catalog.curator.redo(redo(Filter()))

    assert (step.images, step.unreachable) == ((), 1)
    assert (await catalog.reader.submission(ONE)).failed == 1


def crops_in_every_form(image: QueuedImage) -> list[str]:
    """As detectors write them now, and as they wrote them until message version 1."""
    keys = PictureKeys(RECIPE.id, image.id)
    return [*keys.crops(2), *islice(keys.old_crops(), 2)]


async def test_forgetting_deletes_rows_faces_and_objects_and_nothing_else(
    catalog: Catalog, objects: Objects
) -> None:
    images = some_images(2)
    await catalog.ledger.queue(step_of(images, ONE))
    await catalog.ledger.seal(ONE, 1)
    await catalog.ledger.commit([result_of(image, annotated=key_of(image)) for image in images])
    for image in images:
        await objects.put(key_of(image), b"x")
    for key in crops_in_every_form(images[0]):
        await objects.put(key, b"crop")
    wanted = Filter(name=images[0].name)

    assert [row.name async for row in catalog.reader.results(wanted)] == [images[0].name]
    assert len(await keys_of(objects)) == 6
    assert await listed(forget(catalog, objects, wanted)) == [images[0].name]
    assert await listed(forget(catalog, objects, wanted)) == []

    assert await catalog.reader.show(images[0].id) == []
    assert await keys_of(objects) == [key_of(images[1])]
    progress = await catalog.reader.submission(ONE)
    assert (progress.named, progress.faces, progress.complete) == (1, 2, True)


async def test_a_submission_that_was_called_after_what_is_forgotten_does_not_name_it(
    catalog: Catalog,
) -> None:
    gone, stays = some_images(2)
    step = replace(
        step_of([gone, stays], ONE, before="behind this one"),
        submission_name=f"{gone.name}, {stays.name}",
        uri=gone.source_uri,
    )
    await catalog.ledger.queue(step)
    other = replace(step_of([stays], TWO), submission_name=f"not {gone.name}")
    await catalog.ledger.queue(other)
    await catalog.curator.forget_some(Filter(image=gone.id))
    assert (await catalog.reader.submission(ONE)).name == f"(forgotten), {stays.name}"
    assert (await catalog.reader.submission(TWO)).name == f"not {gone.name}", "it never had it"
    async with catalog._database.reading() as connection:
        told = await connection.execute(select(parts.c.uri, parts.c.position).order_by(parts.c.uri))
        assert {tuple(row) for row in told} == {(None, ""), (other.uri, "")}


async def test_entries_are_counted_by_recipe(catalog: Catalog) -> None:
    images = some_images(3)
    blurred = RECIPE.model_copy(update={"mode": Mode.BLUR})
    await catalog.ledger.queue(step_of(images, ONE))
    await catalog.ledger.queue(step_of(images[:1], TWO, recipe=blurred))
    await catalog.ledger.commit([result_of(images[0]), nothing_found(images[1])])
    assert {one.id for one in await catalog.reader.recipes()} == {RECIPE.id, blurred.id}
    assert await catalog.reader.number(Filter(recipe=RECIPE.id)) == 3
    assert await showing(catalog) == {RECIPE.id: 1}
    assert await showing(catalog, but=RECIPE.id) == {}


async def test_what_is_forgotten_stays_so_for_what_was_under_way(catalog: Catalog) -> None:
    (image,) = some_images(1)
    submitted = now()
    step = step_of([image], ONE, at=submitted)
    await catalog.ledger.queue(step)
    await catalog.curator.forget_some(Filter(image=image.id))

    report = await catalog.ledger.commit([result_of(image, annotated=key_of(image))])

    assert (report.won, report.orphans) == (0, (key_of(image),))
    assert [decision.send for decision in await catalog.ledger.queue(step)] == [False]
    assert (await catalog.reader.submission(ONE)).named == 0


async def test_crops_alone_of_a_forgotten_picture_are_named_to_be_deleted(catalog: Catalog) -> None:
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image], ONE))
    await catalog.curator.forget_some(Filter(image=image.id))
    crops = PictureKeys(RECIPE.id, image.id).crops(2)

    report = await catalog.ledger.commit([result_of(image, crops=crops)])

    assert report.orphans == crops


@pytest.mark.parametrize(
    ("code", "reason"),
    [("cancelled", "cancelled"), (None, "cancelled"), ("gone", "cancelled")],
    ids=["as cancelled now", "by the last version", "by the last version, failed before"],
)
def test_a_cancelled_row_is_revived_whichever_version_cancelled_it(
    code: str | None, reason: str
) -> None:
    row = LockedRow(1, "a" * 32, RECIPE.id, 1, Status.FAILED, 0, reason, code, 1)
    assert row.to_be_revived
    assert not row._replace(reason="the file is gone", code="gone").to_be_revived


async def test_who_submits_a_forgotten_picture_anew_gets_it(catalog: Catalog) -> None:
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image], ONE, at=now() - timedelta(hours=1)))
    await catalog.curator.forget_some(Filter(image=image.id))

    (decision,) = await catalog.ledger.queue(step_of([image], TWO, at=now() + timedelta(seconds=1)))

    assert (decision.send, decision.generation) == (True, 2)
    assert (await catalog.ledger.commit([result_of(image, generation=1)])).won == 0
    assert (await catalog.ledger.commit([result_of(image, generation=2)])).won == 1


async def test_forgetting_that_was_cut_off_before_the_objects_is_finished_by_the_next(
    catalog: Catalog, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image], ONE))
    await objects.put(key_of(image), b"x")

    async def away(*_: object) -> None:
        raise Unreachable("the store is away")

    with monkeypatch.context() as patch:
        patch.setattr(objects, "delete_all", away)
        with pytest.raises(Unreachable):
            await listed(forget(catalog, objects, Filter(image=image.id)))
    assert await keys_of(objects) == [key_of(image)]

    await listed(forget(catalog, objects, Filter(image="another")))

    assert await keys_of(objects) == []


async def test_a_sweep_deletes_old_objects_that_no_row_names(
    catalog: Catalog, objects: Objects
) -> None:
    named, waiting, failed, unknown = some_images(4)
    await catalog.ledger.queue(step_of([named, waiting, failed], ONE))
    await catalog.ledger.commit([result_of(named, annotated=key_of(named)), failure(failed)])
    for image in (named, waiting, failed, unknown):
        await objects.put(key_of(image), b"x")
    await objects.put("somebody/elses.jpg", b"x")
    dead = sorted([key_of(failed), key_of(unknown)])

    assert await listed(sweep(catalog, objects)) == [], "too young"
    at_once = timedelta(seconds=-5)
    assert await listed(sweep(catalog, objects, at_once, dry_run=True)) == dead
    assert await listed(sweep(catalog, objects, at_once)) == dead

    left = [key_of(named), key_of(waiting), "somebody/elses.jpg"]
    assert await keys_of(objects) == sorted(left)
