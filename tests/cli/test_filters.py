"""Choosing pictures: by when and by what they were taken, by kind, by the code of a failure."""

import json
from dataclasses import replace
from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.options.filters import taken_range
from shared.errors import FacesError
from shared.messages import Kind, Page
from shared.picture_keys import PictureKeys
from shared.reasons import Reason
from tests.support.catalogs import FACE, RECIPE, failure, result_of, some_images
from tests.support.command_here import Here, here

__all__ = ["here"]


@pytest.mark.parametrize(
    ("typed", "since", "until"),
    [
        ("", None, None),
        ("2019", "2019", "2020"),
        ("2019-03", "2019-03", "2019-04"),
        ("2019-12", "2019-12", "2020-01"),
        ("2019-03-05", "2019-03-05", "2019-03-06"),
        ("2020-02-29", "2020-02-29", "2020-03-01"),
        ("2019-12-31", "2019-12-31", "2020-01-01"),
        ("2019-01..2019-06", "2019-01", "2019-07"),
        ("2019-06-01..2019", "2019-06-01", "2020"),
        ("..2010", None, "2011"),
        ("2019..", "2019", None),
        ("2019..9999", "2019", None),
    ],
)
def test_both_ends_are_included(typed: str, since: str | None, until: str | None) -> None:
    assert taken_range(typed) == (since, until)


@pytest.mark.parametrize(
    "typed", ["..", "19", "2019-1", "2019-13", "2019-02-30", "May", "2019-2020", "2020..2019"]
)
def test_what_is_no_range_is_explained(typed: str) -> None:
    with pytest.raises(FacesError, match="--taken"):
        taken_range(typed)


@given(st.dates(date(1000, 1, 1), date(9998, 1, 1)), st.integers(0, 400), st.integers(-500, 900))
def test_a_day_fits_exactly_between_both_ends(first: date, more: int, off: int) -> None:
    last, day = first + timedelta(days=more), first + timedelta(days=off)
    since, until = taken_range(f"{first}..{last}")
    assert since is not None and until is not None
    moment = f"{day}T23:59:59+02:00"
    assert (since <= moment < until) == (first <= day <= last)


@pytest.fixture
def album(here: Here) -> Here:
    """A picture of 2019 and one of 2020, a document, a picture without a date, and a failure."""
    names = ("old.jpg", "new.jpg", "book.tif", "plain.jpg", "half.jpg")
    images = [replace(image, name=name) for image, name in zip(some_images(5), names, strict=True)]
    old, new, book, plain, half = images
    here.queue(images)
    searched = (Page(n=1, width=64, height=48), Page(n=2, width=64, height=48))
    here.end(
        result_of(old, taken_at="2019-06-30T23:59:59+02:00", camera="Canon EOS R5"),
        result_of(new, taken_at="2020-01-01T00:00:00", camera="NIKON Z 6"),
        result_of(
            book,
            kind=Kind.DOCUMENT,
            pages=40,
            searched=searched,
            faces=(FACE.model_copy(update={"page": 2}),),
            annotated=PictureKeys(RECIPE.id, book.id).annotated,
            annotated_page=2,
        ),
        result_of(plain),
        failure(half, reason="ends early", code=Reason.TRUNCATED),
    )
    return here


@pytest.mark.parametrize(
    ("asked", "found"),
    [
        (("--taken", "2019"), ["old.jpg"]),
        (("--taken", "2019-01..2019-06"), ["old.jpg"]),
        (("--taken", "2019-07..2019-12"), []),
        (("--taken", "..2020-01-01"), ["new.jpg", "old.jpg"]),
        (("--taken", "2019-07.."), ["new.jpg"]),
        (("--camera", "canon*"), ["old.jpg"]),
        (("--camera", "*z 6"), ["new.jpg"]),
        (("--kind", "document"), ["book.tif"]),
        (("--kind", "picture"), ["half.jpg", "new.jpg", "old.jpg", "plain.jpg"]),
        (("--reason", "truncated"), ["half.jpg"]),
        (("--reason", "timeout"), []),
    ],
    ids=str,
)
def test_results_are_chosen_by(album: Here, asked: tuple[str, ...], found: list[str]) -> None:
    answer = album.on("results", "--format", "jsonl", *asked)
    assert answer.status == 0, answer.err
    assert sorted(json.loads(line)["name"] for line in answer.out.splitlines()) == found


@pytest.mark.parametrize("command", ["results", "redo"])
def test_a_code_that_there_is_not_is_one_line_with_those_that_there_are(
    here: Here, command: str
) -> None:
    answer = here.on(command, "--reason", "too slow")
    assert (answer.status, answer.err.count("\n")) == (2, 1)
    assert "timeout" in answer.err and "truncated" in answer.err


def test_an_unknown_format_is_refused_with_those_that_there_are(here: Here) -> None:
    answer = here.on("results", "--format", "yaml")
    assert answer.status == 2
    assert all(name in answer.err for name in ("table", "jsonl", "parquet"))


def test_the_table_and_show_tell_of_pages_and_when_it_was_taken(album: Here) -> None:
    (line,) = album.on("results", "--kind", "document").out.splitlines()[1:]
    assert line.endswith("book.tif  (2 of 40 pages searched)")
    shown = album.on("show", "book.tif").out
    assert "pages:      2 of 40 pages searched" in shown
    assert "face 1:     30 x 28 at 10, 20; 0.9; page 2 of 40" in shown
    assert ".jpg; page 2 of 40" in shown, "which page the annotated picture is of"
    taken = album.on("show", "old.jpg").out
    assert "taken:      2019-06-30T23:59:59+02:00" in taken
    assert "camera:     Canon EOS R5" in taken
    assert "reason:     ends early (truncated)" in album.on("show", "half.jpg").out
