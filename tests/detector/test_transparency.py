"""Erased stays erased: no output shows what was not visible in the input, whatever the format."""

import io
from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from services.detector.decode import decode
from services.detector.draw import draw_boxes
from services.detector.failures import BadPicture
from services.detector.formats.format import Header
from services.detector.header import read_header
from services.detector.hide import blurred, hide, pixelated
from services.detector.models import Model, Pixels, load
from services.detector.outputs import output_of
from services.detector.picture import process
from services.detector.shapes import area
from services.detector.visible import flattened, keep_visible
from shared.messages import Face
from shared.reasons import Reason
from shared.recipe import Mode
from tests.support.pictures import EXIF_BLOCK, GPS, LIMITS, astronaut, encoded, recipe
from tests.support.transparent import ERASED, TRANSPARENT, cut_out

GREY: dict[str, Callable[[], bytes]] = {
    "PNG": lambda: encoded(cut_out().convert("LA"), "PNG"),
    "TIFF": lambda: encoded(cut_out().convert("LA"), "TIFF"),
    "JPEG 2000": lambda: encoded(cut_out().convert("LA"), "JPEG2000"),
}


@pytest.fixture(scope="module")
def haar() -> Model:
    return load("haar", None)  # type: ignore[arg-type]  # it needs no folder of models


def header_of(content: bytes) -> Header:
    return read_header(content, LIMITS.max_pixels)


def rgba(content: bytes) -> NDArray[np.int16]:
    with Image.open(io.BytesIO(content)) as opened:
        return np.asarray(opened.convert("RGBA"), np.int16)


def shows_erased(content: bytes) -> bool:
    """Whether a pixel has the erased colour, whatever its alpha is."""
    difference = np.abs(rgba(content)[:, :, :3] - np.array(ERASED)).max(axis=2)
    return bool((difference < 60).any())


@pytest.mark.parametrize("format_", ["jpeg", "same"])
@pytest.mark.parametrize("mode", [Mode.BOX, Mode.BLUR, Mode.PIXELATE, Mode.SOLID])
@pytest.mark.parametrize("kind", TRANSPARENT)
def test_no_output_has_a_colour_that_was_erased(
    kind: str, mode: Mode, format_: str, haar: Model
) -> None:
    wanted = recipe(mode=mode, format=format_, crops=True, margin=1.0)
    done = process(TRANSPARENT[kind](), wanted, haar, LIMITS)
    assert (done.status, done.reason) == ("faces", "")
    assert done.annotated is not None
    assert not shows_erased(done.annotated)
    assert done.crops
    assert not any(shows_erased(crop) for crop in done.crops)


@pytest.mark.parametrize("kind", TRANSPARENT)
def test_decoders_give_alpha_as_the_file_has_it(kind: str) -> None:
    if "animated" in kind or "pages" in kind:
        pytest.skip("read as pages")
    content = TRANSPARENT[kind]()
    stored = decode(content, header_of(content))
    assert stored.shape == (400, 512, 4)
    alpha = np.asarray(cut_out())[:, :, 3]
    assert (stored[:, :, 3] == alpha).mean() > 0.999  # a lossy format may be off at the edge
    visible = np.abs(stored[:, :, 2::-1].astype(np.int16) - np.asarray(astronaut()))[alpha > 0]
    assert visible.mean() < 12  # palettes are coarse


@pytest.mark.parametrize("kind", GREY)
def test_grey_with_alpha_is_transparent_too(kind: str) -> None:
    content = GREY[kind]()
    stored = decode(content, header_of(content))
    assert (stored[:, :, 3] == np.asarray(cut_out())[:, :, 3]).all()


@pytest.mark.parametrize("mode", ["1", "L", "I;16"])
def test_a_grey_that_stands_for_nothing_is_transparent_at_every_depth(mode: str) -> None:
    dark, light = {"1": (0, 1), "L": (40, 41), "I;16": (0x1200, 0x1201)}[mode]
    kind = {"1": np.bool_, "L": np.uint8, "I;16": np.uint16}[mode]
    grey: NDArray[Any] = np.full((8, 8), light, kind)  # Any: of each depth
    grey[:, :4] = dark
    picture = Image.fromarray(grey)
    content = encoded(picture, "PNG", transparency=dark)
    stored = decode(content, header_of(content))
    assert stored[:, :4, 3].max() == 0
    assert stored[:, 4:, 3].min() == 255


def test_associated_alpha_of_a_tiff_is_divided_again() -> None:
    half = Image.new("RGBA", (8, 8), (200, 100, 50, 128))
    half.putpixel((0, 0), (200, 100, 50, 0))
    content = bytearray(encoded(half, "TIFF"))
    multiplied = bytes([100, 50, 25, 128])
    content = content.replace(bytes([200, 100, 50, 128]), multiplied)
    entry = (338).to_bytes(2, "little") + (3).to_bytes(2, "little") + (1).to_bytes(4, "little")
    at = content.index(entry) + len(entry)
    content[at : at + 2] = (1).to_bytes(2, "little")
    stored = decode(bytes(content), header_of(bytes(content)))
    assert np.abs(stored[4, 4].astype(int) - (50, 100, 200, 128)).max() <= 2
    flat = flattened(stored)
    assert flat[0, 0].tolist() == [255, 255, 255]


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF", "HEIF", "BMP"])
def test_where_everything_is_opaque_there_is_no_alpha(kind: str) -> None:
    content = encoded(astronaut().convert("RGBA"), kind)
    stored = decode(content, header_of(content))
    assert stored.shape == (400, 512, 3)
    assert flattened(stored) is stored


def test_half_transparent_colours_lie_on_white() -> None:
    pixel = np.array([[[0, 100, 200, 128], [9, 9, 9, 0], [1, 2, 3, 255]]], np.uint8)
    assert flattened(pixel).tolist() == [[[127, 177, 227], [255, 255, 255], [1, 2, 3]]]


def test_colours_that_are_kept_are_as_exact_as_they_were_visible() -> None:
    """Two pictures that look alike on every ground have the same colours then."""
    alphas = np.arange(256, dtype=np.uint8)
    picture = np.zeros((256, 256, 4), np.uint8)
    picture[:, :, :3] = np.arange(256, dtype=np.uint8)[None, :, None]
    picture[:, :, 3] = alphas[:, None]
    seen = picture.astype(int)
    multiplied = (seen[:, :, 0] * seen[:, :, 3] + 127) // 255
    keep_visible(picture)
    assert not picture[0, :, :3].any()
    assert (picture[255, :, 0] == np.arange(256)).all()
    for alpha in (1, 2, 17, 128, 254):
        assert len(set(picture[alpha, :, 0])) == len(set(multiplied[alpha]))


@pytest.mark.parametrize("paint", [blurred, pixelated])
def test_what_is_painted_is_made_of_visible_surroundings_only(
    paint: Callable[..., Pixels],
) -> None:
    face = Face(x=40, y=40, w=20, h=20, score=0.9)
    painted = []
    for colour in (0, 255):
        picture = np.full((100, 100, 4), 90, np.uint8)
        picture[:, :, 3] = 255
        picture[:, 62:] = (colour, colour, colour, 0)  # erased, beside the face
        hide(picture, [face], paint, 0.0, 0.5)
        painted.append(picture[40:60, 40:60].copy())
    assert (painted[0] == painted[1]).all()
    assert np.abs(painted[0][:, :, :3].astype(int) - 90).max() <= 15  # a mosaic is uneven


def test_a_hidden_face_leaves_no_outline_in_alpha() -> None:
    face = Face(x=20, y=20, w=40, h=40, score=0.9)
    pictures = []
    for radius in (10, 18):
        picture = np.full((80, 80, 4), 120, np.uint8)
        mask = np.full((80, 80), 255, np.uint8)
        mask[20:60, 20:60] = 0
        cv2.circle(mask, (40, 40), radius, 200, cv2.FILLED)
        picture[:, :, 3] = mask
        hide(picture, [face], blurred, 0.0, 0.5)
        pictures.append(picture)
    hidden = area(face, 0.0, 80, 80)
    covered = pictures[0][hidden.top : hidden.bottom, hidden.left : hidden.right]
    assert (covered[:, :, 3] == 255).all()
    assert (pictures[0] == pictures[1]).all()


def test_boxes_are_opaque_on_transparency() -> None:
    picture = np.zeros((60, 60, 4), np.uint8)
    draw_boxes(picture, [Face(x=10, y=10, w=30, h=30, score=0.9)])
    assert picture[10, 20].tolist() == [0, 0, 255, 255]


SAME = {
    "PNG": ("png", "PNG"),
    "GIF": ("png", "PNG"),
    "WEBP": ("webp", "WEBP"),
    "TIFF": ("tif", "TIFF"),
    "JPEG": ("jpg", "JPEG"),
    "BMP": ("jpg", "JPEG"),
    "AVIF": ("jpg", "JPEG"),
    "HEIF": ("jpg", "JPEG"),
    "JPEG2000": ("jpg", "JPEG"),
}


@pytest.mark.parametrize("kind", SAME)
def test_an_annotated_picture_keeps_its_format_where_that_can_be_written(
    kind: str, haar: Model
) -> None:
    done = process(encoded(astronaut(), kind), recipe(format="same"), haar, LIMITS)
    assert done.annotated is not None
    suffix, written = SAME[kind]
    with Image.open(io.BytesIO(done.annotated)) as opened:
        assert (done.suffix, opened.format) == (suffix, written)
        assert opened.size == (512, 400)


@pytest.mark.parametrize(
    ("kind", "suffix"),
    [
        ("PNG", "png"),
        ("WebP", "webp"),
        ("TIFF", "tif"),
        ("AVIF", "png"),
        ("HEIC", "png"),
        ("BMP", "png"),
    ],
)
def test_the_same_format_keeps_its_transparency(kind: str, suffix: str, haar: Model) -> None:
    done = process(TRANSPARENT[kind](), recipe(format="same"), haar, LIMITS)
    assert done.annotated is not None
    assert done.suffix == suffix
    shown = rgba(done.annotated)
    assert (shown[:, :150, 3] == 0).mean() > 0.99
    assert shown[150, 300, 3] == 255


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF"])
def test_the_same_format_keeps_the_metadata_that_may_pass_and_no_other(
    kind: str, haar: Model
) -> None:
    exif = Image.Exif()
    exif[0x010F] = "Maker"
    exif[0x010E] = "Anna at home"
    exif.get_ifd(GPS)[1] = "N"
    exif.get_ifd(EXIF_BLOCK)[0x9003] = "2020:01:02 03:04:05"
    content = encoded(astronaut(), kind, exif=exif.tobytes())
    done = process(content, recipe(format="same", mode="blur"), haar, LIMITS)
    assert done.annotated is not None
    with Image.open(io.BytesIO(done.annotated)) as opened:
        kept = opened.getexif()
        assert kept[0x010F] == "Maker"
        assert kept.get_ifd(EXIF_BLOCK)[0x9003] == "2020:01:02 03:04:05"
        shown = np.asarray(opened.convert("RGB"), np.int16)
        assert np.abs(shown - np.asarray(astronaut()))[300:].mean() < 8  # below her face
        assert not kept.get_ifd(GPS)
    assert b"Anna" not in done.annotated


def test_a_picture_too_long_for_a_webp_fails_with_a_reason_that_says_what_to_do() -> None:
    long = np.zeros((1, 16_384, 3), np.uint8)
    header = Header("WebP", 16_384, 1)
    wanted = recipe(format="same")
    with pytest.raises(BadPicture, match="run with --format jpeg") as refused:
        output_of(long, header, wanted).encode(long, header, wanted)
    assert refused.value.reason is Reason.TOO_LONG_TO_DRAW
