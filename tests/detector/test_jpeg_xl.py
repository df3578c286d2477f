"""JPEG XL: what is read of it, and what says why it is not."""

import numpy as np
import pytest
from PIL import Image

from services.detector.decode import decode
from services.detector.header import read_header
from services.detector.picture import process
from shared.reasons import Reason
from tests.support.fuzzed import NoFaces
from tests.support.jpeg_xl_pictures import (
    header_of_jpeg_xl,
    jpeg_xl,
    jpeg_xl_of,
    moving_jpeg_xl,
)
from tests.support.pictures import LIMITS, ORIENTATION, astronaut, encoded, recipe, stored_as


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_that_is_stored_turned_is_searched_upright_and_turned_once(
    orientation: int,
) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    content = jpeg_xl_of(encoded(stored_as(astronaut(), orientation), "JPEG", exif=exif))
    header = read_header(content, LIMITS.max_pixels)
    assert (header.width, header.height) == (512, 400)
    assert (header.orientation, header.turned) == (1, orientation)
    wrong = decode(content, header)[:, :, ::-1].astype(int) - np.asarray(astronaut())
    assert np.abs(wrong).mean() < 6


def test_the_packed_exif_of_a_jpeg_is_read_and_its_orientation_left_to_the_code_stream() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    exif[271] = "a maker"
    content = jpeg_xl_of(encoded(astronaut(), "JPEG", exif=exif))
    assert b"brob" in content
    assert dict(read_header(content, LIMITS.max_pixels).exif) == {271: "a maker"}


def test_light_of_16_bits_becomes_colours_of_8() -> None:
    content = jpeg_xl(astronaut(), deep=True)
    picture = decode(content, read_header(content, LIMITS.max_pixels))
    wrong = picture[:, :, ::-1].astype(int) - np.asarray(astronaut())
    assert np.abs(wrong).mean() < 3  # a power of 2.2 is not quite sRGB


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (moving_jpeg_xl(), "an animation"),
        (header_of_jpeg_xl(channels=1, kind=4), "four inks"),
        (header_of_jpeg_xl(channels=1, kind=5), "camera's sensor"),
    ],
)
def test_a_kind_that_is_not_read_is_named(content: bytes, told: str) -> None:
    done = process(content, recipe(), NoFaces(), LIMITS)
    assert (done.status, done.code) == ("failed", Reason.UNSUPPORTED)
    assert told in done.reason


def test_more_pixels_than_allowed_are_refused_undecoded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.detector.picture.decode", None)
    done = process(header_of_jpeg_xl(50_000, 50_000), recipe(), NoFaces(), LIMITS)
    assert (done.status, done.code) == ("failed", Reason.TOO_MANY_PIXELS)
    assert "50000 x 50000" in done.reason


@pytest.mark.parametrize("part", [0.3, 0.99])
def test_a_file_that_is_cut_says_so(part: float) -> None:
    content = jpeg_xl(astronaut())
    done = process(content[: int(part * len(content))], recipe(), NoFaces(), LIMITS)
    assert (done.status, done.code) == ("failed", Reason.TRUNCATED)
