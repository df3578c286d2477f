"""Camera raw: its preview is searched where that is large enough; else the raw is developed."""

from pathlib import Path

import pytest
from PIL import Image

from services.detector.decode import decode
from services.detector.formats import READABLE, recognised
from services.detector.header import read_header
from services.detector.models import Model, load
from services.detector.picture import process
from services.detector.processed import Processed
from shared.recipe import Mode
from tests.support.pictures import LIMITS, astronaut, encoded, recipe, stored_as
from tests.support.raw_pictures import dng

NEAR = 2.0
"""Pixels by which a box may differ from that of the same picture as a JPEG."""


@pytest.fixture(scope="module")
def yunet(sample_models: Path) -> Model:
    return load("yunet", sample_models)


def large() -> Image.Image:
    return astronaut().resize((2048, 1600))


def searched(content: bytes, model: Model) -> Processed:
    return process(content, recipe("yunet", mode=Mode.NONE), model, LIMITS)


def assert_same_face(content: bytes, seen: Image.Image, model: Model) -> None:
    """The one face of a raw is where it is in a JPEG of what the camera saw."""
    found, wanted = searched(content, model), searched(encoded(seen, "JPEG", quality=95), model)
    assert (found.status, found.format) == ("faces", "camera raw")
    assert (found.width, found.height) == seen.size
    (face,), (expected,) = found.faces, wanted.faces
    for name in ("x", "y", "w", "h"):
        assert getattr(face, name) == pytest.approx(getattr(expected, name), abs=NEAR), name


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_raw_without_a_preview_is_developed_and_upright(orientation: int, yunet: Model) -> None:
    stored = stored_as(astronaut(), orientation)

    assert_same_face(dng(stored, orientation=orientation), astronaut(), yunet)


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_a_large_preview_is_searched_and_upright(orientation: int, yunet: Model) -> None:
    stored = stored_as(large(), orientation)
    nothing = Image.new("RGB", stored.size)

    assert_same_face(dng(nothing, preview=stored, orientation=orientation), large(), yunet)


def test_a_small_preview_is_passed_over(yunet: Model) -> None:
    assert_same_face(dng(astronaut(), preview=Image.new("RGB", (160, 124))), astronaut(), yunet)


def test_a_preview_that_is_upright_already_is_not_turned_again(yunet: Model) -> None:
    nothing = Image.new("RGB", stored_as(large(), 6).size)
    upright = large().transpose(Image.Transpose.ROTATE_90).transpose(Image.Transpose.ROTATE_270)

    assert nothing.width < nothing.height
    assert_same_face(dng(nothing, preview=upright, orientation=6), large(), yunet)


def test_a_raw_of_many_pixels_is_developed_at_half_its_sides() -> None:
    content = dng(astronaut().resize((3584, 2800)))

    header = read_header(content, LIMITS.max_pixels)

    assert (header.width, header.height) == (1792, 1400)
    assert decode(content, header).shape == (1400, 1792, 3)


def test_a_raw_tells_its_camera_and_when(yunet: Model) -> None:
    told = searched(dng(astronaut()), yunet).taken

    assert (told.camera, told.taken_at) == ("Nobody Test", None)


def test_a_plain_tiff_of_a_camera_stays_a_tiff() -> None:
    exif = Image.Exif()
    exif[271], exif[272] = "Nobody", "Test"

    assert recognised(encoded(astronaut(), "TIFF", exif=exif)) is READABLE["TIFF"]
