"""The shapes that hide a face: nothing of it is left in any of them, and where they end."""

import io

import numpy as np
import pytest
from PIL import Image

from services.detector.hide import Paint, blurred, hide, pixelated, solid
from services.detector.models import Detections, Pixels
from services.detector.picture import process
from services.detector.shapes import SHAPES, SOFT, ellipse
from shared.messages import Face
from shared.recipe import Mode, Shape
from tests.support.pictures import GPS, LIMITS, animated, astronaut, encoded, recipe

PAINTS = [blurred, pixelated, solid]
WIDTH, HEIGHT = 512, 400


def face(x: float, y: float, w: float, h: float) -> Face:
    return Face(x=x, y=y, w=w, h=h, score=0.9)


ALONE = face(170.5, 60.25, 96, 110.5)


class NoFaces:
    name = "haar"
    overlap = 0.3

    def detect(self, picture: Pixels, min_score: float) -> Detections:
        return Detections(
            np.zeros((0, 4), np.float32), np.zeros(0, np.float32), np.zeros((0, 0), np.float32)
        )


@pytest.fixture
def picture() -> Pixels:
    return np.ascontiguousarray(np.asarray(astronaut())[:HEIGHT, :WIDTH, ::-1])


def core_of(faces: list[Face], margin: float, shape: Shape, size: tuple[int, int]) -> Pixels:
    """The hidden cores of all faces, as a mask of the picture."""
    height, width = size
    covers = [SHAPES[shape](one, margin, width, height) for one in faces]
    masks = [cover.core(np.arange(height), np.arange(width)) for cover in covers]
    return np.asarray(np.logical_or.reduce(masks))


@pytest.mark.parametrize("paint", PAINTS)
@pytest.mark.parametrize("shape", Shape)
@pytest.mark.parametrize("margin", [0.0, 0.1, 1.0])
@pytest.mark.parametrize(
    "faces",
    [
        [ALONE],
        [ALONE, face(210, 120, 80, 90)],
        [face(100, 100, 60, 60), face(178, 100, 60, 60), face(139, 160, 60, 60)],
        [face(-30, -30, 60, 60), face(490, 380, 60, 60)],
        [face(100, 100, 1, 1), face(102, 101, 1, 1), face(200.4, 90.7, 0.3, 0.2)],
        [face(0, 0, WIDTH, HEIGHT)],
    ],
    ids=["one", "overlapping", "edges touch", "over the picture's edge", "one pixel", "whole"],
)
def test_no_pixel_of_a_core_has_any_influence_whatever_the_shape(
    faces: list[Face], margin: float, shape: Shape, paint: Paint, picture: Pixels
) -> None:
    core = core_of(faces, margin, shape, picture.shape[:2])
    assert core.any()
    noise = np.random.default_rng(1).integers(0, 255, picture.shape).astype(np.uint8)
    others = [np.where(core[..., None], value, picture) for value in (np.uint8(0), noise)]

    hide(picture, faces, paint, margin, 0.5, shape)

    for other in others:
        changed = np.ascontiguousarray(other)
        hide(changed, faces, paint, margin, 0.5, shape)
        assert np.array_equal(changed, picture)


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.5])
def test_the_core_of_an_ellipse_covers_the_whole_box_of_the_face(margin: float) -> None:
    core = core_of([ALONE], margin, Shape.ELLIPSE, (HEIGHT, WIDTH))
    assert core[60:171, 170:267].all()


def test_an_ellipse_fades_out_within_its_soft_edge(picture: Pixels) -> None:
    before = picture.copy()
    hide(picture, [ALONE], solid, 0.1, 0.5, Shape.ELLIPSE)

    cover = ellipse(ALONE, 0.1, WIDTH, picture.shape[0])
    share = cover.paint_share()
    row = round(cover.y) - cover.extent.top
    half = share[row, share.shape[1] // 2 :]
    assert half[0] == 1
    assert half[-1] < 0.1
    assert (np.diff(half) <= 0).all(), "it never grows outwards"
    assert ((half > 0) & (half < 1)).sum() >= cover.across * (SOFT - 1) / 2
    corner = cover.extent.top, cover.extent.left
    assert (picture[corner] == before[corner]).all(), "corners of the extent stay"


@pytest.mark.parametrize("mode", [Mode.BLUR, Mode.PIXELATE, Mode.SOLID])
def test_a_picture_without_faces_is_copied_only_where_the_recipe_says_so(mode: Mode) -> None:
    exif = Image.Exif()
    exif.get_ifd(GPS)[1] = "N"
    content = encoded(astronaut(), "JPEG", exif=exif)
    without = process(content, recipe(mode=mode), NoFaces(), LIMITS)
    copied = process(content, recipe(mode=mode, copy_rest=True), NoFaces(), LIMITS)

    assert (without.status, without.annotated) == ("no_faces", None)
    assert copied.status == "no_faces"
    assert copied.annotated is not None
    again = Image.open(io.BytesIO(copied.annotated))
    assert again.size == astronaut().size
    assert GPS not in again.getexif(), "the place where it was taken is not handed on"


def test_no_mode_copies_nothing_even_where_the_rest_is_asked_for() -> None:
    done = process(
        encoded(astronaut(), "JPEG"), recipe(mode=Mode.NONE, copy_rest=True), NoFaces(), LIMITS
    )
    assert done.annotated is None


def test_of_a_document_without_faces_the_first_page_is_copied() -> None:
    content = animated("TIFF", [astronaut(), astronaut()])
    done = process(content, recipe(mode=Mode.BLUR, copy_rest=True), NoFaces(), LIMITS)
    assert (done.status, done.annotated_page) == ("no_faces", 1)
    assert done.annotated is not None
