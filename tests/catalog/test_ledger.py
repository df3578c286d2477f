"""The ledger: what is queued ends once, by its own result, and is counted once."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from shared.catalog import Catalog, Decision, Filter, PassedOver, Refused
from shared.errors import FacesError
from shared.messages import Kind, Page, SourceFailedMessage, now
from shared.reasons import Reason
from shared.recipe import Recipe
from tests.support.catalogs import (
    FACE,
    RECIPE,
    failure,
    nothing_found,
    result_of,
    some_images,
    step_of,
)

ONE, TWO = "1" * 32, "2" * 32


async def test_a_step_queues_its_images_and_says_which_to_hand_on(catalog: Catalog) -> None:
    decisions = await catalog.ledger.queue(step_of(some_images(3), ONE))

    assert decisions == [Decision(generation=1, send=True)] * 3
    progress = await catalog.reader.submission(ONE)
    assert (progress.named, progress.queued, progress.parts_open) == (3, 3, 0)


async def test_a_repeated_step_hands_on_the_same_images_and_counts_nothing_twice(
    catalog: Catalog,
) -> None:
    images = some_images(4)
    first = step_of(images[:2], ONE, after="2")
    last = step_of(images[2:], ONE, before="2")

    for step in (first, first, last, first, last):
        assert [decision.send for decision in await catalog.ledger.queue(step)] == [True, True]

    progress = await catalog.reader.submission(ONE)
    assert (progress.named, progress.queued, progress.parts_open) == (4, 4, 0)


async def test_what_steps_passed_over_is_counted_once_however_often_they_are_repeated(
    catalog: Catalog,
) -> None:
    images = some_images(2)
    passed = {"link": PassedOver(2, "album/"), "excluded": PassedOver(1)}
    first = replace(step_of(images[:1], ONE, after="1"), passed_over=passed)
    last = replace(step_of(images[1:], ONE, before="1"), passed_over={"link": PassedOver(1, "z/")})

    for step in (first, first, last, first, last):
        await catalog.ledger.queue(step)

    assert (await catalog.reader.submission(ONE)).passed_over == {
        "link": PassedOver(3, "album/"),
        "excluded": PassedOver(1),
    }


async def test_an_example_of_what_was_passed_over_goes_with_the_name_that_is_forgotten(
    catalog: Catalog,
) -> None:
    (image,) = some_images(1)
    stem = image.name.rpartition("/")[2].rpartition(".")[0]
    passed = {"hidden": PassedOver(2, ".cache/"), "previews": PassedOver(1, f"{stem}.lrdata/")}
    await catalog.ledger.queue(replace(step_of([image], ONE), passed_over=passed))

    assert await catalog.curator.forget_some(Filter())

    assert (await catalog.reader.submission(ONE)).passed_over == {
        "hidden": PassedOver(2, ".cache/"),
        "previews": PassedOver(1, ""),
    }


async def test_what_was_not_read_is_counted_by_its_sentence(catalog: Catalog) -> None:
    images = some_images(3)
    await catalog.ledger.queue(step_of(images, ONE))
    sentence = "not read: a video (.mp4)"
    await catalog.ledger.commit(
        [failure(image, reason=sentence, code=Reason.UNSUPPORTED) for image in images[:2]]
    )
    assert await catalog.reader.not_read(ONE) == {sentence: 2}


async def test_a_step_of_before_does_not_move_its_part_back(catalog: Catalog) -> None:
    images = some_images(3)
    first = step_of(images[:1], ONE, after="1")
    second = step_of(images[1:2], ONE, before="1", after="2")
    last = step_of(images[2:], ONE, before="2")

    for step in (first, second, first):
        await catalog.ledger.queue(step)
    await catalog.ledger.queue(step_of(images[1:2], ONE, before="1"))
    assert (await catalog.reader.submission(ONE)).parts_open == 1, (
        "an end of before does not close it"
    )
    await catalog.ledger.queue(last)

    assert (await catalog.reader.submission(ONE)).parts_open == 0


async def test_an_image_named_twice_in_one_submission_is_one_image(catalog: Catalog) -> None:
    images = some_images(2)

    decisions = await catalog.ledger.queue(step_of([*images, images[0]], ONE))
    await catalog.ledger.queue(step_of(images, ONE, part=1))

    assert len(decisions) == 3
    assert (await catalog.reader.submission(ONE)).named == 2


async def test_a_submission_is_complete_when_sealed_expanded_and_all_its_rows_ended(
    catalog: Catalog,
) -> None:
    images = some_images(3)
    await catalog.ledger.open_submission(ONE, "holiday", now(), None)
    await catalog.ledger.queue(step_of(images[:2], ONE, after="2"))
    await catalog.ledger.commit([result_of(images[0]), nothing_found(images[1])])
    assert not (await catalog.reader.submission(ONE)).complete, "neither expanded nor sealed"

    await catalog.ledger.seal(ONE, 1)
    await catalog.ledger.seal(ONE, 1)
    assert not (await catalog.reader.submission(ONE)).complete, "not expanded"

    await catalog.ledger.queue(step_of(images[2:], ONE, before="2"))
    assert not (await catalog.reader.submission(ONE)).complete, "one is queued"

    await catalog.ledger.commit([failure(images[2])])
    progress = await catalog.reader.submission(ONE)
    assert progress.complete
    assert (progress.with_faces, progress.no_faces, progress.failed, progress.faces) == (1, 1, 1, 2)


async def test_a_submission_of_no_parts_is_complete_at_once(catalog: Catalog) -> None:
    await catalog.ledger.seal(ONE, 0, "empty", now())

    assert (await catalog.reader.submission(ONE)).complete


async def test_a_part_that_cannot_be_expanded_closes_with_its_reason(catalog: Catalog) -> None:
    told = SourceFailedMessage(
        submission=ONE,
        trace=TWO,
        recipe=RECIPE,
        part=0,
        uri="file:///gone",
        reason="no such folder",
    )
    await catalog.ledger.seal(ONE, 1, "holiday", now())

    await catalog.ledger.commit([], [told])
    await catalog.ledger.fail_part(ONE, 0, "file:///gone", "told again")

    progress = await catalog.reader.submission(ONE)
    assert progress.complete
    assert [(part.uri, part.reason) for part in progress.failed_parts] == [
        ("file:///gone", "no such folder")
    ]


async def test_a_rerun_skips_what_has_ended_and_its_totals_are_of_the_whole_set(
    catalog: Catalog,
) -> None:
    images = some_images(3)
    await catalog.ledger.queue(step_of(images[:2], ONE))
    await catalog.ledger.commit([result_of(images[0]), failure(images[1])])

    decisions = await catalog.ledger.queue(step_of(images, TWO))
    await catalog.ledger.seal(TWO, 1)

    assert [decision.send for decision in decisions] == [False, False, True]
    progress = await catalog.reader.submission(TWO)
    assert (progress.named, progress.skipped, progress.queued) == (3, 2, 1)
    await catalog.ledger.commit([nothing_found(images[2])])
    progress = await catalog.reader.submission(TWO)
    assert (progress.with_faces, progress.no_faces, progress.failed, progress.faces) == (1, 1, 1, 2)
    assert progress.complete
    assert (await catalog.reader.submission(ONE)).ended == 2


async def test_an_image_of_two_submissions_ends_for_both(catalog: Catalog) -> None:
    images = some_images(1)
    for submission in (ONE, TWO):
        await catalog.ledger.queue(step_of(images, submission))
        await catalog.ledger.seal(submission, 1)

    await catalog.ledger.commit([result_of(images[0])])

    for submission in (ONE, TWO):
        assert (await catalog.reader.submission(submission)).complete


async def test_another_recipe_is_another_row(catalog: Catalog) -> None:
    images = some_images(1)
    other = Recipe(model="yunet", model_version="test", detect_size=1024)
    await catalog.ledger.queue(step_of(images, ONE))
    await catalog.ledger.commit([result_of(images[0])])

    assert [d.send for d in await catalog.ledger.queue(step_of(images, TWO, recipe=other))] == [
        True
    ]


async def test_only_the_first_result_of_an_image_counts(catalog: Catalog) -> None:
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image], ONE))

    first = await catalog.ledger.commit([result_of(image), nothing_found(image)])
    second = await catalog.ledger.commit([failure(image)])

    assert (first.won, first.late) == (1, 1)
    assert (second.won, second.late) == (0, 1)
    (row,) = await catalog.reader.show(image.id, RECIPE.id)
    assert (row.status, row.face_count, len(row.faces)) == ("faces", 2, 2)


async def test_a_result_of_another_generation_changes_nothing(catalog: Catalog) -> None:
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image], ONE))

    report = await catalog.ledger.commit([result_of(image, generation=2)])

    assert (report.won, report.late) == (0, 1)
    assert (await catalog.reader.submission(ONE)).queued == 1


async def test_a_result_whose_row_a_restored_backup_lost_is_written(catalog: Catalog) -> None:
    first, second = some_images(2)
    await catalog.ledger.queue(step_of([first], ONE))

    report = await catalog.ledger.commit(
        [
            result_of(first, submission=ONE),
            result_of(second, submission=ONE),
            result_of(second, submission=ONE),
        ],
        [told_of_a_source(TWO)],
        take_unknown=True,
    )

    assert (report.won, report.late, report.unknown) == (2, 1, frozenset())
    assert (await catalog.reader.submission(ONE)).with_faces == 2
    assert (await catalog.reader.submission(TWO)).refused == 1


async def test_what_no_row_asked_for_is_not_written_and_its_neighbours_are(
    catalog: Catalog,
) -> None:
    asked, unasked = some_images(2)
    await catalog.ledger.queue(step_of([asked], ONE))

    report = await catalog.ledger.commit(
        [result_of(asked), result_of(unasked), nothing_found(unasked)],
        [told_of_a_source(TWO), told_of_a_source(ONE)],
    )

    assert (report.won, report.late) == (1, 0)
    assert report.unknown == {(unasked.id, RECIPE.id)}
    assert report.unknown_submissions == {TWO}
    assert await catalog.reader.show(unasked.id) == []
    assert (await catalog.reader.submission(ONE)).refused == 1
    with pytest.raises(FacesError, match="knows no submission"):
        await catalog.reader.submission(TWO)


async def test_asked_for_is_what_has_a_row_or_was_forgotten(catalog: Catalog) -> None:
    kept, buried, unasked = some_images(3)
    await catalog.ledger.queue(step_of([kept, buried], ONE))
    await catalog.curator.forget_some(Filter(image=buried.id))

    keys = [(one.id, RECIPE.id) for one in (kept, buried, unasked)]
    assert await catalog.reader.asked_for(keys) == set(keys[:2])
    assert await catalog.reader.asked_for([(kept.id, "yunet-0000000000")]) == set()


def told_of_a_source(submission: str) -> SourceFailedMessage:
    """That a part of a submission could not be expanded."""
    return SourceFailedMessage(
        submission=submission, trace=TWO, recipe=RECIPE, part=5, uri="file:///x", reason="gone"
    )


async def test_a_row_keeps_what_the_result_said(catalog: Catalog) -> None:
    (image,) = some_images(1)
    detected = datetime(2026, 3, 4, 5, 6, 7, 890123, timezone(timedelta(hours=2)))
    await catalog.ledger.queue(step_of([image], ONE))
    key = f"{RECIPE.id}/{image.id}.jpg"

    await catalog.ledger.commit(
        [result_of(image, annotated=key, bytes=123, attempts=2, detected_at=detected)],
        uri_of=lambda key: f"s3://bucket/{key}",
    )

    (row,) = await catalog.reader.show(image.id, RECIPE.id)
    assert row.annotated_uri == f"s3://bucket/{key}"
    assert (row.name, row.bytes, row.width, row.height) == (image.name, 123, 640, 480)
    assert (row.consumer, row.attempts, row.detect_ms) == ("detector-1", 2, 20.5)
    assert row.detected_at == detected
    assert row.detected_at is not None and row.detected_at.tzinfo == UTC
    assert row.faces[0].landmarks == FACE.landmarks
    assert (row.faces[0].x, row.faces[0].y, row.faces[0].score) == (10.5, 20.25, 0.9)


async def test_a_row_keeps_when_and_by_what_its_picture_was_taken_and_how_it_was_drawn(
    catalog: Catalog,
) -> None:
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image], ONE))

    told: dict[str, Any] = {  # fields of a result
        "taken_at": "2019-06-01T12:00:00+02:00",
        "camera": "Canon EOS 5D",
        "drawing": 3,
    }
    key = f"{RECIPE.id}/{image.id}.jpg"
    await catalog.ledger.commit([result_of(image, annotated=key, **told)])

    (row,) = await catalog.reader.show(image.id)
    assert (row.taken_at, row.camera, row.drawing) == tuple(told.values())
    assert (row.kind, row.pages, row.searched, row.code) == (Kind.PICTURE, 1, (), None)


async def test_a_document_keeps_its_pages_and_the_page_of_each_face(catalog: Catalog) -> None:
    (image,) = some_images(1)
    pages = (
        Page(n=1, width=640, height=480),
        Page(n=2, reason="the page is damaged"),
        Page(n=3, width=480, height=640),
    )
    faces = (FACE.model_copy(update={"page": 3}), FACE.model_copy(update={"page": 1}))
    await catalog.ledger.queue(step_of([image], ONE))

    document: dict[str, Any] = {  # fields of a result
        "kind": Kind.DOCUMENT,
        "pages": 700,
        "searched": pages,
        "annotated_page": 1,
    }
    await catalog.ledger.commit([result_of(image, faces=faces, **document)])

    (row,) = await catalog.reader.show(image.id)
    assert (row.kind, row.pages, row.searched, row.annotated_page) == tuple(document.values())
    assert [face.page for face in row.faces] == [3, 1]


async def test_a_page_that_is_told_twice_blames_that_result(catalog: Catalog) -> None:
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image], ONE))

    with pytest.raises(Refused):
        await catalog.ledger.commit(
            [result_of(image, kind=Kind.DOCUMENT, searched=[Page(n=1)] * 2)]
        )


@pytest.mark.parametrize(
    ("code", "reason", "kept"),
    [
        (Reason.DAMAGED, "the file is damaged", Reason.DAMAGED),
        ("of_a_newer_program", "something new", "of_a_newer_program"),
        (None, "not a picture", None),
        (None, Reason.BYTES_LOST.meaning, Reason.BYTES_LOST),
    ],
)
async def test_a_failed_row_has_the_code_of_its_result_or_of_its_sentence(
    catalog: Catalog, code: str | None, reason: str, kept: str | None
) -> None:
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image], ONE))

    await catalog.ledger.commit([failure(image, reason=reason, code=code)])

    (row,) = await catalog.reader.show(image.id)
    assert (row.code, row.reason) == (kept, reason)


@pytest.mark.parametrize(
    "name", ["a\0b.jpg", "'; DROP TABLE images; --", "ü\n😀/..\\.jpg", "\\xff"]
)
async def test_any_name_is_kept_and_none_refuses_the_batch(catalog: Catalog, name: str) -> None:
    (image,) = some_images(1)
    odd = type(image)(image.id, name, image.source_uri)

    await catalog.ledger.queue(step_of([odd], ONE))
    report = await catalog.ledger.commit([result_of(odd, consumer="a\0b")])

    assert report.won == 1
    (row,) = await catalog.reader.show(image.id)
    assert row.name == name.replace("\0", "\\x00")


async def test_a_batch_that_the_database_refuses_leaves_nothing_behind(catalog: Catalog) -> None:
    good, bad = some_images(2)
    await catalog.ledger.queue(step_of([good, bad], ONE))
    refused = result_of(bad).model_copy(update={"bytes": 1 << 70})

    with pytest.raises(Refused):
        await catalog.ledger.commit([result_of(good), refused])

    assert (await catalog.reader.submission(ONE)).queued == 2


async def test_what_a_cancelled_submission_left_is_queued_when_named_again(
    catalog: Catalog,
) -> None:
    images = some_images(2)
    await catalog.ledger.queue(step_of(images, ONE))
    await catalog.ledger.commit([result_of(images[0])])

    await catalog.curator.cancel(ONE)

    assert (await catalog.reader.submission(ONE)).complete
    (row,) = await catalog.reader.show(images[1].id)
    assert (row.code, row.reason) == (Reason.CANCELLED, Reason.CANCELLED.meaning)
    decisions = await catalog.ledger.queue(step_of(images, TWO))
    assert decisions == [Decision(1, send=False), Decision(2, send=True)]
    assert (await catalog.ledger.commit([result_of(images[1], generation=1)])).won == 0
    assert (await catalog.ledger.commit([result_of(images[1], generation=2)])).won == 1


async def test_an_unknown_submission_is_an_error_for_people(catalog: Catalog) -> None:
    with pytest.raises(FacesError, match="no submission"):
        await catalog.reader.submission(ONE)
