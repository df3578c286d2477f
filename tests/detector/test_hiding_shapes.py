"""The shapes that hide a face: nothing of it is left in any of them, and where they end."""

import io
from math import sqrt

import numpy as np
import pytest
from PIL import Image

from services.detector import encode, outputs, processed
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


def touched(one: Face, margin: float, shape: Shape) -> Pixels:
    """The pixels in which points of the shape lie, found by points on and in its outline."""
    angles = np.linspace(0, 2 * np.pi, 5_000)
    x, y = np.cos(angles), np.sin(angles)
    grow = sqrt(0.5) + margin
    if shape is Shape.BOX:
        longest = np.maximum(np.abs(x), np.abs(y))
        x, y, grow = x / longest, y / longest, 0.5 + margin
    mask = np.zeros((HEIGHT, WIDTH), bool)
    for radius in np.linspace(0, 0.9999, 100):
        columns = np.floor(one.x + one.w / 2 + x * one.w * grow * radius).astype(int)
        rows = np.floor(one.y + one.h / 2 + y * one.h * grow * radius).astype(int)
        mask[rows, columns] = True
    return mask


@pytest.mark.parametrize("margin", [0.0, 0.1, 0.3])
@pytest.mark.parametrize("shape", Shape)
@pytest.mark.parametrize("channels", [3, 4])
def test_every_pixel_that_a_shape_touches_is_in_its_core_and_is_wholly_paint(
    channels: int, shape: Shape, margin: float
) -> None:
    reached = touched(ALONE, margin, shape)
    assert core_of([ALONE], margin, shape, (HEIGHT, WIDTH))[reached].all()
    white = np.full((HEIGHT, WIDTH, channels), 255, np.uint8)
    white[::2, :, 3:] = 0
    hide(white, [ALONE], solid, margin, 0.5, shape)
    assert not white[reached][:, :3].any()
    assert (white[reached][:, 3:] == 255).all()


@pytest.mark.parametrize("paint", PAINTS)
@pytest.mark.parametrize("shape", Shape)
def test_behind_alpha_neither_a_core_nor_an_erased_colour_has_any_influence(
    shape: Shape, paint: Paint, picture: Pixels
) -> None:
    alpha = np.full((HEIGHT, WIDTH, 1), 255, np.uint8)
    alpha[:, ::3], alpha[:, 1::3] = 0, 90
    seen = np.concatenate([picture, alpha], axis=2)
    core = core_of([ALONE], 0.1, shape, (HEIGHT, WIDTH))
    erased = (seen[:, :, 3] == 0) & ~core
    other = seen.copy()
    other[core] = np.random.default_rng(3).integers(0, 255, (int(core.sum()), 4))
    other[erased, :3] = 255 - other[erased, :3]

    hide(seen, [ALONE], paint, 0.1, 0.5, shape)
    hide(other, [ALONE], paint, 0.1, 0.5, shape)
    visible = seen[:, :, 3] > 0
    assert np.array_equal(seen[:, :, 3], other[:, :, 3])
    assert np.array_equal(seen[visible], other[visible])


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


@pytest.mark.parametrize("output", ["jpeg", "same"])
@pytest.mark.parametrize(
    "content",
    [encoded(astronaut(), "WEBP"), animated("TIFF", [astronaut(), astronaut()])],
    ids=["picture", "document"],
)
def test_a_picture_without_faces_too_long_to_copy_is_still_one_without_faces(
    content: bytes, output: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(encode, "LONGEST_SIDE", 300)
    monkeypatch.setattr(outputs, "WEBP_LONGEST_SIDE", 300)
    monkeypatch.setattr(processed, "PICTURES_LIMIT_BYTES", 300)
    wanted = recipe(mode=Mode.BLUR, copy_rest=True, format=output)
    done = process(content, wanted, NoFaces(), LIMITS)
    assert (done.status, done.reason, done.annotated) == ("no_faces", "", None)
    assert not any(page.reason for page in done.searched)


@pytest.mark.parametrize(
    ("kind", "suffix"), [("PNG", "png"), ("WEBP", "webp"), ("TIFF", "tif"), ("JPEG", "jpg")]
)
def test_a_copy_has_the_format_of_the_picture_where_that_is_asked_for(
    kind: str, suffix: str
) -> None:
    wanted = recipe(mode=Mode.BLUR, copy_rest=True, format="same")
    done = process(encoded(astronaut(), kind), wanted, NoFaces(), LIMITS)
    assert (done.status, done.suffix.lstrip(".")) == ("no_faces", suffix)
    assert done.annotated is not None
    with Image.open(io.BytesIO(done.annotated)) as opened:
        assert (opened.format, opened.size) == (kind, astronaut().size)


class Crowd:
    """A model that finds more faces than a row can have, in rows of fifty."""

    name, overlap = "haar", 0.3

    def detect(self, picture: Pixels, min_score: float) -> Detections:
        corners = np.array([(x * 10, y * 10) for y in range(60) for x in range(50)], np.float32)
        boxes = np.concatenate([corners + 2, np.full((len(corners), 2), 5, np.float32)], axis=1)
        scores = np.linspace(0.99, 0.9, len(boxes), dtype=np.float32)
        return Detections(boxes, scores, np.zeros((len(boxes), 0), np.float32))


@pytest.mark.parametrize("kind", ["PNG", "TIFF"])
def test_of_more_faces_than_a_row_can_have_all_are_hidden(kind: str) -> None:
    white = Image.new("RGB", (500, 600), "white")
    content = encoded(white, "PNG") if kind == "PNG" else animated("TIFF", [white, white])
    wanted = recipe(mode=Mode.SOLID, margin=0.0, crops=True, detect_size=640)
    done = process(content, wanted, Crowd(), LIMITS)

    assert len(done.faces) == len(done.crops) == 2000
    assert done.annotated is not None
    drawn = np.asarray(Image.open(io.BytesIO(done.annotated)).convert("L"), np.int16)
    centres = drawn[4::10, 4::10][:60, :50]
    assert centres.shape == (60, 50) and centres.max() < 60, "3,000 of them"


def test_a_copied_page_takes_no_room_once_a_later_page_has_faces(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Two pages of noise, of which only one fits."""
    noise = Image.fromarray(
        np.random.default_rng(2).integers(0, 255, (600, 500, 3)).astype(np.uint8)
    )

    class OnlyThen(NoFaces):
        pages = 0

        def detect(self, picture: Pixels, min_score: float) -> Detections:
            self.pages += 1
            if self.pages < 2:
                return super().detect(picture, min_score)
            one = np.array([[10, 10, 50, 50]], np.float32)
            return Detections(one, np.full(1, 0.9, np.float32), np.zeros((1, 0), np.float32))

    content = animated("TIFF", [noise] * 3)
    wanted = recipe(mode=Mode.BLUR, copy_rest=True)
    done = process(content, wanted, OnlyThen(), LIMITS)
    assert (done.status, done.annotated_page) == ("faces", 2) and done.annotated is not None
    monkeypatch.setattr(processed, "PICTURES_LIMIT_BYTES", len(done.annotated) * 3 // 2)
    crops = recipe(mode=Mode.BLUR, copy_rest=True, crops=True, margin=0.0)
    again = process(content, crops, OnlyThen(), LIMITS)
    assert (again.status, len(again.crops)) == ("faces", 2), again.reason


def test_on_what_is_transparent_an_ellipse_fades_out_in_its_own_colour() -> None:
    """Nothing visible is there to mix with: the erased colours do not count as black."""
    erased = np.zeros((200, 200, 4), np.uint8)
    hide(erased, [face(80, 80, 40, 40)], blurred, 0.1, 0.5, Shape.ELLIPSE)

    core = core_of([face(80, 80, 40, 40)], 0.1, Shape.ELLIPSE, (200, 200))
    alpha = erased[:, :, 3]
    assert (alpha[core] == 255).all()
    assert alpha[0, 0] == 0
    outwards = alpha[100, 100:].astype(int)
    assert (np.diff(outwards) <= 0).all() and 0 < outwards[outwards < 255].max() < 255
    colours = erased[alpha > 16][:, :3].astype(int)
    assert np.abs(colours - colours[0]).max() <= 1
