"""What is drawn, what is hidden for good, and what metadata an annotated picture keeps."""

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image, ImageCms

from services.detector import processed
from services.detector.decode import decode
from services.detector.draw import line_width
from services.detector.encode import encode_jpeg
from services.detector.header import BadPicture, Header, read_header
from services.detector.hide import Paint, blurred, hide, pixelated, solid
from services.detector.metadata import LARGEST_PROFILE, kept_exif, kept_icc
from services.detector.models import Detections, Model, Pixels, load
from services.detector.modes import DRAWINGS, draw
from services.detector.picture import process
from services.detector.shapes import Area, area
from shared.messages import Face
from shared.reasons import Reason
from shared.recipe import Mode
from tests.support.pictures import (
    EXIF_BLOCK,
    GPS,
    LIMITS,
    animated,
    astronaut,
    encoded,
    pixels,
    recipe,
)

HIDING = [Mode.BLUR, Mode.PIXELATE, Mode.SOLID]
PAINTS = [blurred, pixelated, solid]
GRID = [(x * 30.0, y * 22.0, 20.0, 20.0) for x in range(10) for y in range(10)]
FACE = Face(x=170.5, y=60.25, w=96.0, h=110.5, score=0.91)


@pytest.fixture
def picture() -> Pixels:
    return np.ascontiguousarray(np.asarray(astronaut())[:, :, ::-1])


class Fixed:
    """A model that always finds the same faces."""

    name = "haar"
    overlap = 0.3

    def __init__(self, *faces: tuple[float, float, float, float]) -> None:
        self._boxes = np.array(faces, np.float32).reshape(-1, 4)

    def detect(self, picture: Pixels, min_score: float) -> Detections:
        scores = np.full(len(self._boxes), 0.9, np.float32)
        return Detections(self._boxes, scores, np.zeros((len(scores), 0), np.float32))


def inside(hidden: Area) -> tuple[slice, slice]:
    return slice(hidden.top, hidden.bottom), slice(hidden.left, hidden.right)


@pytest.mark.parametrize("paint", PAINTS)
@pytest.mark.parametrize("strength", [0.01, 0.5, 1.0])
@pytest.mark.parametrize("margin", [0.0, 0.1, 1.0])
def test_no_hidden_pixel_of_the_original_has_any_influence_on_the_result(
    paint: Paint, strength: float, margin: float, picture: Pixels
) -> None:
    """Whoever had the result could not tell one original from another that differs in the face."""
    neighbour = Face(x=FACE.x + 40, y=FACE.y + 60, w=80, h=90, score=0.8)  # overlaps the first
    faces = [FACE, neighbour]
    others = [picture.copy() for _ in range(3)]
    for face in faces:
        rows_columns = inside(area(face, margin, 512, 400))
        others[0][rows_columns] = 0
        others[1][rows_columns] = 255
        others[2][rows_columns] = np.random.default_rng(1).integers(
            0, 255, others[2][rows_columns].shape
        )

    hide(picture, faces, paint, margin, strength)

    for other in others:
        hide(other, faces, paint, margin, strength)
        assert np.array_equal(other, picture)


@pytest.mark.parametrize("paint", PAINTS)
def test_only_the_face_and_its_margin_are_painted_over(paint: Paint, picture: Pixels) -> None:
    before = picture.copy()
    hide(picture, [FACE], paint, 0.1, 0.5)

    changed = np.argwhere((picture != before).any(axis=2))
    top, left = changed.min(axis=0)
    bottom, right = changed.max(axis=0) + 1
    hidden = area(FACE, 0.1, 512, 400)
    assert (hidden.left, hidden.top) == (160, 49)
    assert (hidden.right, hidden.bottom) == (277, 182)
    assert hidden.left <= left <= hidden.left + 2
    assert hidden.right - 2 <= right <= hidden.right
    assert hidden.top <= top <= hidden.top + 2
    assert hidden.bottom - 2 <= bottom <= hidden.bottom


@pytest.mark.parametrize("paint", PAINTS)
@pytest.mark.parametrize(
    "face",
    [
        Face(x=0, y=0, w=512, h=400, score=1),
        Face(x=-30, y=-30, w=60, h=60, score=1),
        Face(x=500, y=390, w=60, h=60, score=1),
        Face(x=100, y=100, w=0.4, h=0.4, score=1),
        Face(x=600, y=700, w=10, h=10, score=1),
    ],
    ids=["whole picture", "top left", "bottom right", "tiny", "outside"],
)
def test_faces_at_the_edges_and_of_odd_sizes_are_hidden(
    paint: Paint, face: Face, picture: Pixels
) -> None:
    hide(picture, [face], paint, 0.2, 0.5)
    assert picture.shape == (400, 512, 3)
    if face.w == 512:
        assert picture.std() < 30, "nothing is left to be seen"


@pytest.mark.parametrize("mode", HIDING)
def test_a_detector_finds_no_face_where_one_was_hidden(mode: Mode) -> None:
    haar = load("haar", Path())
    content = encoded(astronaut(), "JPEG")
    done = process(content, recipe(mode=mode, margin=0.2), haar, LIMITS)
    assert done.status == "faces"
    assert done.annotated is not None
    assert process(done.annotated, recipe(), haar, LIMITS).status == "no_faces"


def test_a_stronger_mosaic_is_coarser(picture: Pixels) -> None:
    fine, coarse = picture.copy(), picture.copy()
    hide(fine, [FACE], pixelated, 0.1, 0.01)
    hide(coarse, [FACE], pixelated, 0.1, 1.0)
    rows, columns = inside(area(FACE, 0.1, 512, 400))
    colours = [len(np.unique(one[rows, columns].reshape(-1, 3), axis=0)) for one in (fine, coarse)]
    assert colours[0] > 130, "12 x 12 cells, a few of one colour"
    assert colours[1] == 9, "3 x 3 cells"


def test_boxes_are_red_and_as_wide_as_the_picture_asks(picture: Pixels) -> None:
    draw(picture, [FACE], recipe(mode="box"))
    assert picture[60, 200].tolist() == [0, 0, 255]
    assert picture[115, 170].tolist() == [0, 0, 255]
    assert picture[115, 200].tolist() != [0, 0, 255], "the face itself is not covered"
    assert (line_width(300, 200), line_width(4000, 3000)) == (2, 10)


@pytest.mark.parametrize("y", [60.0, 1.0], ids=["above", "no room above"])
def test_labels_tell_the_score_beside_the_face(y: float, picture: Pixels) -> None:
    plain = picture.copy()
    face = FACE.model_copy(update={"y": y})
    draw(plain, [face], recipe(mode="box"))
    draw(picture, [face], recipe(mode="box", labels=True))
    rows = np.argwhere((picture != plain).any(axis=2))[:, 0]
    assert len(rows) > 100
    assert rows.max() <= 60 if y == 60 else rows.min() >= 110


def test_mode_none_keeps_the_boxes_and_draws_nothing() -> None:
    done = process(
        encoded(astronaut(), "JPEG"), recipe(mode="none"), Fixed((10, 10, 50, 50)), LIMITS
    )
    assert (done.status, len(done.faces), done.annotated) == ("faces", 1, None)
    assert not {"draw", "encode"} & set(done.steps_ms)


@pytest.mark.parametrize(("size", "kept"), [(200 << 10, True), (LARGEST_PROFILE + 1, False)])
def test_a_profile_is_kept_up_to_a_size_and_never_in_a_crop(size: int, kept: bool) -> None:
    profile = bytearray(os.urandom(size))
    profile[16:20] = b"RGB "
    content = encoded(astronaut(), "JPEG", icc_profile=bytes(profile))
    done = process(content, recipe(crops=True), load("haar", Path()), LIMITS)
    assert done.annotated is not None
    with Image.open(io.BytesIO(done.annotated)) as annotated:
        assert (annotated.info.get("icc_profile") == profile) is kept
    for crop in done.crops:
        assert len(crop) < 100 << 10
        with Image.open(io.BytesIO(crop)) as cut:
            assert "icc_profile" not in cut.info


def test_pictures_of_one_result_are_bounded_together_while_they_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[int] = []

    def encode(*given: Any) -> bytes:  # Any: what the real one takes
        made.append(1)
        return encode_jpeg(*given)

    monkeypatch.setattr("services.detector.showing.encode_jpeg", encode)
    monkeypatch.setattr(processed, "PICTURES_LIMIT_BYTES", 30_000)
    many = Fixed(*GRID)
    done = process(encoded(astronaut(), "PNG"), recipe(crops=True), many, LIMITS)
    assert (done.status, done.code) == ("failed", Reason.TOO_LARGE)
    assert "more than the 30,000 bytes that one result may have; run without --crops" in done.reason
    assert (done.annotated, done.crops, done.width) == (None, (), 512)
    assert 1 < len(made) < 50, "it stops where it is too much"


def test_pictures_of_a_document_s_pages_count_together(monkeypatch: pytest.MonkeyPatch) -> None:
    pages = animated("TIFF", [astronaut()] * 4)
    one = process(encoded(astronaut(), "TIFF"), recipe(crops=True), Fixed(GRID[0]), LIMITS)
    assert one.annotated is not None
    enough = len(one.annotated) + 2 * len(one.crops[0]) + 100
    monkeypatch.setattr(processed, "PICTURES_LIMIT_BYTES", enough)
    done = process(pages, recipe(crops=True), Fixed(GRID[0]), LIMITS)
    assert (done.status, done.code) == ("failed", Reason.TOO_LARGE)
    assert "the first 3 crops" in done.reason


def test_crops_are_the_untouched_faces_with_their_margin_one_each() -> None:
    boxes = (170.0, 60.0, 96.0, 110.0), (300.0, 250.0, 20.0, 20.0)
    content = encoded(astronaut(), "PNG")
    wanted = recipe(mode="solid", crops=True, margin=0.5, jpeg_quality=98, detect_size=640)
    done = process(content, wanted, Fixed(*boxes), LIMITS)

    assert [pixels(crop).shape for crop in done.crops] == [(220, 192, 3), (40, 40, 3)]
    original = pixels(content)[5:225, 122:314]
    assert np.abs(pixels(done.crops[0]) - original).mean() < 3


@pytest.mark.parametrize("mode", ["none", "box"])
def test_a_large_jpeg_is_decoded_whole_only_where_faces_are_to_be_shown(
    mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    decoded = []

    def noted(content: bytes, header: Header, reduced: int = 1) -> Pixels:
        decoded.append(reduced)
        return decode(content, header, reduced)

    monkeypatch.setattr("services.detector.picture.decode", noted)
    large = encoded(astronaut().resize((2048, 1600)), "JPEG")
    done = process(large, recipe(mode=mode), Fixed((10, 10, 50, 50)), LIMITS)

    assert decoded == ([4] if mode == "none" else [1])
    assert done.faces[0].w == pytest.approx(50 * 2048 / 320, abs=0.1)
    if mode == "box":
        assert done.annotated is not None
        assert pixels(done.annotated).shape == (1600, 2048, 3)


def test_quality_is_a_setting() -> None:
    sizes = []
    for quality in (30, 90):
        done = process(
            encoded(astronaut(), "PNG"),
            recipe(jpeg_quality=quality),
            Fixed((10, 10, 50, 50)),
            LIMITS,
        )
        assert done.annotated is not None
        sizes.append(len(done.annotated))
    assert sizes[0] * 2 < sizes[1]


THUMBNAIL = b"\xff\xd8\xff this is the embedded thumbnail"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def with_everything() -> bytes:
    """A JPEG with metadata of all kinds that a camera or a phone writes."""
    exif = Image.Exif()
    exif[0x010F], exif[0x0110], exif[0x8298] = "Maker", "Model 1", "Somebody"
    exif[0x010E] = "Grandmother at the lake"
    exif[0x9C9B] = "Grandmother".encode("utf-16-le")
    exif.get_ifd(EXIF_BLOCK).update(
        {0x9003: "2026:01:02 03:04:05", 0x927C: b"maker's note", 0x9286: b"comment", 0xA431: "SN1"}
    )
    exif.get_ifd(GPS).update({1: "N", 2: (52.0, 30.0, 1.0), 3: "E", 4: (13.0, 24.0, 2.0)})
    content = encoded(
        astronaut(), "JPEG", exif=exif, icc_profile=PROFILE, comment=b"a comment", quality=95
    )
    xmp = b"http://ns.adobe.com/xap/1.0/\0<x>" + THUMBNAIL + b"</x>"
    segment = b"\xff\xe1" + (len(xmp) + 2).to_bytes(2, "big") + xmp
    return content[:2] + segment + content[2:]


def annotated(**wanted: Any) -> Image.Image:  # Any: fields of a recipe
    done = process(with_everything(), recipe(**wanted), Fixed((10, 10, 50, 50)), LIMITS)
    assert done.annotated is not None
    for secret in (b"thumbnail", b"maker's note", b"a comment", b"SN1", b"xap"):
        assert secret in with_everything()
        assert secret not in done.annotated
    return Image.open(io.BytesIO(done.annotated))


def test_camera_date_copyright_and_colour_profile_survive_and_the_place_does_not() -> None:
    kept = annotated()
    exif = kept.getexif()
    assert (exif[0x010F], exif[0x0110], exif[0x8298]) == ("Maker", "Model 1", "Somebody")
    assert exif.get_ifd(EXIF_BLOCK)[0x9003] == "2026:01:02 03:04:05"
    assert not exif.get_ifd(GPS)
    assert kept.info["icc_profile"] == PROFILE


def test_the_place_survives_where_it_is_asked_for() -> None:
    place = annotated(keep_location=True).getexif().get_ifd(GPS)
    assert place[2] == (52.0, 30.0, 1.0)


@pytest.mark.parametrize(("mode", "kept"), [("box", True), ("blur", False), ("solid", False)])
def test_a_caption_is_dropped_where_faces_are_hidden(mode: str, kept: bool) -> None:
    assert (0x010E in annotated(mode=mode).getexif()) is kept


def test_a_profile_longer_than_a_segment_survives_and_one_of_other_colours_does_not() -> None:
    long = PROFILE + bytes(range(256)) * 500
    header = read_header(encoded(astronaut(), "JPEG", icc_profile=long), 10**9)
    black = np.zeros((20, 30, 3), np.uint8)
    with Image.open(io.BytesIO(encode_jpeg(black, 90, icc=kept_icc(header)))) as written:
        assert written.info["icc_profile"] == long
        assert written.size == (30, 20)
    grey = PROFILE[:16] + b"GRAY" + PROFILE[20:]
    assert kept_icc(read_header(encoded(astronaut(), "JPEG", icc_profile=grey), 10**9)) == b""


def test_damaged_metadata_costs_the_metadata_only() -> None:
    content = with_everything()
    at = content.index(b"MM\0*")
    broken = content[:at] + b"MM\0*\0\0\0\x08\xff\xff" + b"\xff" * 60 + content[at + 70 :]
    done = process(broken, recipe(), Fixed((10, 10, 50, 50)), LIMITS)
    assert done.status == "faces"


def test_a_picture_without_metadata_gets_none() -> None:
    header = read_header(encoded(astronaut(), "JPEG"), 10**9)
    assert kept_exif(header, recipe()) == b""


def test_a_picture_too_long_for_a_jpeg_says_so() -> None:
    with pytest.raises(BadPicture, match="--mode none") as bad:
        encode_jpeg(np.zeros((1, 65_501, 3), np.uint8), 90)
    assert bad.value.failure.reason is Reason.TOO_LONG_TO_DRAW


def test_every_mode_is_drawn_in_its_own_way() -> None:
    drawn = {
        mode: pixels(done.annotated).tobytes()
        for mode in Mode
        if (done := process(with_everything(), recipe(mode=mode), Fixed((10, 10, 50, 50)), LIMITS))
        and done.annotated
    }
    assert set(DRAWINGS) == set(Mode)
    assert set(drawn) == set(Mode) - {Mode.NONE}
    assert len(set(drawn.values())) == len(drawn)


def test_drawing_is_a_step_whose_time_is_known() -> None:
    model: Model = Fixed((10, 10, 50, 50))
    done = process(with_everything(), recipe(crops=True), model, LIMITS)
    assert {"header", "decode", "detect", "crop", "draw", "encode"} <= set(done.steps_ms)
    assert all(ms >= 0 for ms in done.steps_ms.values())
