"""Questions people ask of the catalog: filters, patterns, pages, one picture's history."""

from datetime import timedelta
from typing import Any

import pytest

from shared.catalog import Catalog, Filter, QueuedImage, globs
from shared.messages import Face, Kind, Status, new_token, now
from shared.reasons import Reason
from shared.recipe import DRAWING_VERSION, Recipe
from tests.support.catalogs import RECIPE, failure, nothing_found, result_of, some_images, step_of

ONE, TWO = "1" * 32, "2" * 32


def image(name: str) -> QueuedImage:
    return QueuedImage(new_token(), name, f"file:///{name}")


async def names(catalog: Catalog, **wanted: object) -> list[str]:
    filter_ = Filter(**wanted)  # type: ignore[arg-type]  # each test gives fields of a filter
    return [row.name async for row in catalog.reader.results(filter_)]


async def with_results(catalog: Catalog) -> None:
    """Pictures of all statuses: none.jpg, one.jpg, two.jpg, bad.jpg, and waiting.jpg."""
    images = {name: image(f"{name}.jpg") for name in ("none", "one", "two", "bad", "waiting")}
    faces = [Face(x=1, y=2, w=3, h=4, score=score) for score in (0.95, 0.75)]
    await catalog.ledger.queue(step_of(list(images.values()), ONE))
    await catalog.ledger.commit(
        [
            nothing_found(images["none"]),
            result_of(images["one"], faces=faces[1:]),
            result_of(images["two"], faces=faces),
            failure(images["bad"]),
        ]
    )


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({}, "none one two bad waiting"),
        ({"statuses": (Status.FAILED,)}, "bad"),
        ({"statuses": (Status.FACES, Status.NO_FACES)}, "none one two"),
        ({"min_faces": 1}, "one two"),
        ({"min_faces": 2, "max_faces": 2}, "two"),
        ({"max_faces": 0, "statuses": (Status.NO_FACES,)}, "none"),
        ({"min_score": 0.9}, "two"),
        ({"max_score": 0.8}, "one two"),
        ({"min_score": 0.8, "max_score": 0.9}, ""),
        ({"min_score": 0.9, "max_score": 0.99}, "two"),
        ({"since": now() - timedelta(days=1)}, "none one two bad"),
        ({"until": now() - timedelta(days=1)}, ""),
        ({"since": now() + timedelta(days=1)}, ""),
        ({"submission": ONE, "min_faces": 2}, "two"),
        ({"submission": TWO}, ""),
        ({"recipe": RECIPE.id, "name": "t*"}, "two"),
        ({"recipe": "other"}, ""),
    ],
)
async def test_a_filter_finds_what_fits_all_of_it(
    catalog: Catalog, wanted: dict[str, object], found: str
) -> None:
    await with_results(catalog)

    assert await names(catalog, **wanted) == [f"{name}.jpg" for name in found.split()]


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("a/IMG_1.jpg", ["a/IMG_1.jpg"]),
        ("*.jpg", ["a/IMG_1.jpg", "a/IMG_2.jpg", "b/IMG-1.jpg", "b/100%.jpg", "[x].jpg"]),
        ("a/*", ["a/IMG_1.jpg", "a/IMG_2.jpg", "a/é.png"]),
        ("*IMG_1*", ["a/IMG_1.jpg"]),
        ("?/IMG?1.jpg", ["a/IMG_1.jpg", "b/IMG-1.jpg"]),
        ("*[12].jpg", ["a/IMG_1.jpg", "a/IMG_2.jpg", "b/IMG-1.jpg"]),
        ("*IMG_[!1].jpg", ["a/IMG_2.jpg"]),
        ("*IMG_[^1].jpg", ["a/IMG_2.jpg"]),
        ("*IMG[^_]*", ["b/IMG-1.jpg"]),
        ("*/[a-z].*", []),
        ("a/?.png", ["a/é.png"]),
        ("*100%*", ["b/100%.jpg"]),
        ("*100_*", []),
        ("a/IMG_[0-9].jpg", ["a/IMG_1.jpg", "a/IMG_2.jpg"]),
        ("a/IMG[_-][2x]*", ["a/IMG_2.jpg"]),
        ("b/100[%_].jpg", ["b/100%.jpg"]),
        ("[[]x].jpg", ["[x].jpg"]),
        ("[x]*", []),
        ("*img*", []),
        ("c:\\*", ["c:\\d.bmp"]),
        ("*[\\]d.bmp", ["c:\\d.bmp"]),
        ("a", []),
        ("[", []),
        ("*[", []),
    ],
)
async def test_a_name_pattern_is_a_shell_s(
    catalog: Catalog, pattern: str, found: list[str]
) -> None:
    folders = ["a/IMG_1.jpg", "a/IMG_2.jpg", "a/é.png", "b/IMG-1.jpg", "b/100%.jpg"]
    everything = [*folders, "[x].jpg", "c:\\d.bmp"]
    await catalog.ledger.queue(step_of([image(name) for name in everything], ONE))

    assert sorted(await names(catalog, name=pattern)) == sorted(found)


async def with_details(catalog: Catalog) -> None:
    """Pictures that say when and by what they were taken, or how they were drawn, or do not."""
    told: dict[str, dict[str, Any]] = {  # fields of results
        "may": {"taken_at": "2019-05-31T23:59:59", "camera": "Canon EOS 5D"},
        "june": {"taken_at": "2019-06-01T00:00:00+02:00", "camera": "Canon EOS 50D", "drawing": 1},
        "winter": {"taken_at": "2020-01-01T12:00:00-08:00", "camera": "NIKON D[1]"},
        "scan": {"kind": Kind.DOCUMENT, "pages": 3, "drawing": 2},
    }
    images = {name: image(f"{name}.jpg") for name in (*told, "unreadable", "empty")}
    await catalog.ledger.queue(step_of(list(images.values()), ONE))
    await catalog.ledger.commit(
        [
            *(
                result_of(images[name], annotated=f"{RECIPE.id}/{images[name].id}.jpg", **fields)
                for name, fields in told.items()
            ),
            failure(images["unreadable"], code=Reason.DAMAGED),
            failure(images["empty"], code=Reason.EMPTY),
        ]
    )


@pytest.mark.parametrize(
    ("wanted", "found"),
    [
        ({"taken_since": "2019"}, "may june winter"),
        ({"taken_until": "2020"}, "may june"),
        ({"taken_since": "2019-06", "taken_until": "2020"}, "june"),
        ({"taken_since": "2019-05-31", "taken_until": "2019-06-01"}, "may"),
        ({"taken_since": "2019-06-01", "taken_until": "2019-06-02"}, "june"),
        ({"taken_since": "2020-01-01T12", "taken_until": "2020-01-01T13"}, "winter"),
        ({"taken_since": "2021"}, ""),
        ({"camera": "canon eos 5d"}, "may"),
        ({"camera": "CANON*"}, "may june"),
        ({"camera": "*[dD]"}, "may june"),
        ({"camera": "nikon d[[]1]"}, "winter"),
        ({"camera": "canon"}, ""),
        ({"camera": "*"}, "may june winter"),
        ({"camera": "*eos*", "taken_since": "2019-06"}, "june"),
        ({"kind": Kind.DOCUMENT}, "scan"),
        ({"kind": Kind.PICTURE, "min_faces": 1}, "may june winter"),
        ({"kind": "video"}, ""),
        ({"code": Reason.DAMAGED}, "unreadable"),
        ({"code": Reason.GONE}, ""),
        ({"drawn_before": 1}, ""),
        ({"drawn_before": 2}, "may june winter"),
        ({"drawn_before": 3}, "may june winter scan"),
        ({"drawn_before": 2, "submission": TWO}, ""),
    ],
)
async def test_a_filter_finds_when_by_what_and_how(
    catalog: Catalog, wanted: dict[str, object], found: str
) -> None:
    await with_details(catalog)

    assert await names(catalog, **wanted) == [f"{name}.jpg" for name in found.split()]


async def test_a_code_that_an_older_program_left_on_a_row_that_ended_well_finds_nothing(
    catalog: Catalog,
) -> None:
    one = image("one.jpg")
    await catalog.ledger.queue(step_of([one], ONE))
    await catalog.ledger.commit([result_of(one, code=Reason.DAMAGED)])

    assert await names(catalog, code=Reason.DAMAGED) == []


async def test_pictures_drawn_before_a_mend_are_counted(catalog: Catalog) -> None:
    await with_details(catalog)
    await catalog.ledger.queue(step_of([image("other.jpg")], TWO))

    counts = [await catalog.reader.drawn_before(version) for version in (1, 2, 3)]

    assert counts == [0, 3, 4]
    assert await catalog.reader.drawn_before(3, submission=ONE) == 4
    assert await catalog.reader.drawn_before(3, submission=TWO) == 0
    assert await catalog.reader.drawn_before() == counts[DRAWING_VERSION - 1]


@pytest.mark.parametrize(
    ("pattern", "beginnings"),
    [
        ("album-[12]/*", ["album-1/", "album-2/"]),
        ("a[0-2]b[xy]*", ["a0bx", "a0by", "a1bx", "a1by", "a2bx", "a2by"]),
        ("a[]x]?b", ["a]", "ax"]),
        ("a[0-9][0-9]*", [f"a{n}" for n in range(10)]),  # all hundred are too many
        ("a[!b]c", ["a"]),
        ("a[0-\u4e00]c", ["a"]),
        ("*[ab]", [""]),
    ],
)
def test_the_sets_of_a_pattern_are_written_out_as_beginnings(
    pattern: str, beginnings: list[str]
) -> None:
    assert globs.heads(pattern) == beginnings


async def test_pages_and_limits_follow_each_other_without_gap_or_repeat(catalog: Catalog) -> None:
    images = some_images(1234)
    for part, start in enumerate(range(0, 1234, 500)):
        await catalog.ledger.queue(step_of(images[start : start + 500], ONE, part=part))

    everything = [row.name async for row in catalog.reader.results(Filter())]

    assert everything == [image.name for image in images]
    first = await catalog.reader.page(Filter(submission=ONE), limit=700)
    second = await catalog.reader.page(Filter(submission=ONE), after=first[-1].cursor, limit=700)
    assert [row.name for row in (*first, *second)] == everything
    limited = [row.name async for row in catalog.reader.results(Filter(name="*.jpg"), limit=600)]
    assert limited == everything[:600]


async def test_a_picture_s_history_is_found_by_name_and_by_identity(catalog: Catalog) -> None:
    (one,) = some_images(1)
    other = Recipe(model="yunet", model_version="test", detect_size=1024)
    await catalog.ledger.queue(step_of([one], ONE))
    await catalog.ledger.commit([result_of(one)])
    await catalog.ledger.queue(step_of([one], TWO, recipe=other))

    by_name = await catalog.reader.show(one.name)

    assert [(row.recipe, row.status) for row in by_name] == [
        (RECIPE.id, Status.FACES),
        (other.id, Status.QUEUED),
    ]
    assert await catalog.reader.show(one.id) == by_name
    assert await catalog.reader.show(one.id, other.id) == by_name[1:]
    assert await catalog.reader.show("no such picture") == []


async def test_what_is_queued_can_be_handed_on_again(catalog: Catalog) -> None:
    first, second, third = some_images(3)
    await catalog.ledger.queue(step_of([first, second], ONE))
    await catalog.ledger.queue(step_of([third], TWO))
    await catalog.ledger.commit([result_of(first)])

    (waiting,) = await catalog.reader.queued(ONE)

    assert (waiting.image, waiting.recipe, waiting.generation) == (second, RECIPE, 1)
    everything = await catalog.reader.queued()
    assert [row.image for row in everything] == [second, third]
    assert await catalog.reader.queued(after=everything[-1].cursor) == []


async def test_files_that_are_cut_are_found_and_counted(
    catalog: Catalog,
) -> None:
    short, whole = images = some_images(2)
    await catalog.ledger.queue(step_of(images, ONE))
    await catalog.ledger.commit([result_of(short, cut=True), result_of(whole)])

    (row,) = await catalog.reader.page(Filter(cut=True))

    assert (row.name, row.cut) == (short.name, True)
    assert await catalog.reader.cut(ONE) == 1
    assert await catalog.reader.cut(TWO) == 0


async def test_submissions_are_listed_newest_first_with_their_progress(catalog: Catalog) -> None:
    moment = now()
    await catalog.ledger.queue(step_of(some_images(2), ONE, at=moment - timedelta(hours=1)))
    await catalog.ledger.queue(step_of(some_images(3), TWO, at=moment))

    listed = await catalog.reader.submissions()

    assert [(one.id, one.named) for one in listed] == [(TWO, 3), (ONE, 2)]
    assert [one.id for one in await catalog.reader.submissions(before=moment)] == [ONE]
    assert [one.id for one in await catalog.reader.submissions(limit=1)] == [TWO]


async def test_the_pace_is_what_ended_lately(catalog: Catalog) -> None:
    images = some_images(10)
    await catalog.ledger.queue(step_of(images, ONE))
    assert await catalog.reader.pace(ONE) == 0

    await catalog.ledger.commit([nothing_found(image) for image in images])

    assert await catalog.reader.pace(ONE) > 0
    assert await catalog.reader.pace(TWO) == 0
