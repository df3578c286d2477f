"""What a file is taken for by its name."""

from itertools import combinations

import pytest

from services.detector.formats import FORMATS
from services.detector.formats.format import Format
from shared.media import KINDS, kind_of, why_not_read
from shared.reasons import Reason

EXTENSION = {"JPEG 2000": b"jp2", "JPEG XL": b"jxl"}
"""Of formats whose usual extension is not their name."""


@pytest.mark.parametrize("name", [one.name for one in FORMATS if isinstance(one, Format)])
def test_the_extension_of_every_format_that_is_decoded_is_that_of_a_picture(name: str) -> None:
    extension = EXTENSION.get(name, name.lower().encode())
    kind = kind_of(b"photo." + extension)
    assert kind is not None
    assert kind.read
    assert why_not_read(b"photo." + extension) is None


def test_no_extension_is_of_two_kinds() -> None:
    for one, other in combinations(KINDS, 2):
        assert not one.extensions & other.extensions


@pytest.mark.parametrize(
    ("name", "sentence"),
    [
        (b"Film.MP4", "not read: a video (.mp4)"),
        (b"logo.svg", "not read: a drawing (.svg)"),
        (b"scan.pdf", "not read: a document (.pdf)"),
        (b"\xff.exr", "not read: a picture of a format that is not read (.exr)"),
    ],
)
def test_what_is_not_read_is_refused_by_a_sentence_that_names_its_kind(
    name: bytes, sentence: str
) -> None:
    failure = why_not_read(name)
    assert failure is not None
    assert failure.reason is Reason.UNSUPPORTED
    assert failure.sentence == sentence


def test_what_nobody_takes_for_a_picture_and_hidden_files_are_of_no_kind() -> None:
    assert kind_of(b"notes.txt") is None
    assert kind_of(b"photo") is None
    assert kind_of(b".jpg") is None
    assert kind_of(b"._photo.jpg") is None
