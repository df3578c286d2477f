"""When a picture was taken and by which camera, as its EXIF says; damage costs only that."""

import pytest
from PIL import Image, TiffImagePlugin

from services.detector.picture import process
from services.detector.taken import CAMERA_LIMIT, Taken, taken
from tests.support.fuzzed import NoFaces
from tests.support.pictures import EXIF_BLOCK, LIMITS, animated, astronaut, encoded, recipe

MAKE, MODEL, ORIGINAL, OFFSET = 0x010F, 0x0110, 0x9003, 0x9011


def exif(
    make: object = None, model: object = None, original: object = None, offset: object = None
) -> Image.Exif:
    block = Image.Exif()
    for tag, value in ((MAKE, make), (MODEL, model)):
        if value is not None:
            block[tag] = value
    exposure = block.get_ifd(EXIF_BLOCK)
    for tag, value in ((ORIGINAL, original), (OFFSET, offset)):
        if value is not None:
            exposure[tag] = value
    return block


CANON = exif("Canon\0", "Canon EOS 5D", "2019:06:01 12:00:00", "+02:00")
TAKEN = Taken(taken_at="2019-06-01T12:00:00+02:00", camera="Canon EOS 5D")
UPRIGHT = TAKEN.model_copy(update={"orientation": 1})


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "HEIF"])
def test_formats_with_exif_tell_when_and_by_which_camera(kind: str) -> None:
    done = process(encoded(astronaut(), kind, exif=CANON), recipe(), NoFaces(), LIMITS)
    assert (done.status, done.taken) == ("no_faces", UPRIGHT)


def test_a_tiff_tells_so_too_and_a_document_by_its_first_page() -> None:
    tags = TiffImagePlugin.ImageFileDirectory_v2()
    tags[MAKE], tags[MODEL] = "Canon", "Canon EOS 5D"
    tags[EXIF_BLOCK] = {ORIGINAL: "2019:06:01 12:00:00", OFFSET: "+02:00"}
    blank = Image.new("RGB", (32, 24))
    for content in (
        encoded(blank, "TIFF", tiffinfo=tags),
        animated("TIFF", [blank, blank], tiffinfo=tags),
    ):
        assert process(content, recipe(), NoFaces(), LIMITS).taken == UPRIGHT


def test_a_picture_that_cannot_be_decoded_tells_it_all_the_same() -> None:
    content = encoded(astronaut(), "JPEG", exif=CANON)
    done = process(content[: content.index(b"\xff\xda")], recipe(), NoFaces(), LIMITS)
    assert (done.status, done.taken) == ("failed", UPRIGHT)


@pytest.mark.parametrize(
    ("original", "offset", "expected"),
    [
        ("2019:06:01 12:00:00", None, "2019-06-01T12:00:00"),
        ("2019:06:01 12:00:00\0", "-05:30", "2019-06-01T12:00:00-05:30"),
        ("2019:06:01 12:00:00", "+25:00", "2019-06-01T12:00:00"),
        ("2019:06:01 12:00:00", "   :  ", "2019-06-01T12:00:00"),
        ("2019:06:01 12:00:00", "Z", "2019-06-01T12:00:00"),
        ("0000:00:00 00:00:00", "+02:00", None),
        ("2019:02:30 12:00:00", None, None),
        ("    :  :     :  :  ", None, None),
        ("2019-06-01", None, None),
        (b"2019:06:01 12:00:00", None, "2019-06-01T12:00:00"),
        (7, 8, None),
        (None, "+02:00", None),
    ],
)
def test_a_moment_is_told_where_it_is_one(
    original: object, offset: object, expected: str | None
) -> None:
    assert taken(exif(original=original, offset=offset)).taken_at == expected


@pytest.mark.parametrize(
    ("make", "model", "expected"),
    [
        ("Canon", "Canon EOS 5D", "Canon EOS 5D"),
        ("NIKON CORPORATION", "NIKON D90", "NIKON D90"),
        ("Apple", "iPhone 12", "Apple iPhone 12"),
        ("  SONY  ", "\x07DSC-RX100\0junk", "SONY DSC-RX100"),
        ("samsung", None, "samsung"),
        (None, "Pixel 6", "Pixel 6"),
        (None, None, ""),
        ("x" * 300, "y", "x" * CAMERA_LIMIT),
        ((1, 2), "Z", "Z"),
    ],
)
def test_a_camera_is_named_as_people_say_it(make: object, model: object, expected: str) -> None:
    assert taken(exif(make, model)).camera == expected


def test_an_exif_block_that_points_outside_of_the_file_costs_no_camera() -> None:
    block = exif("Canon", "EOS")
    broken = Image.Exif()
    broken.load(block.tobytes())
    broken[EXIF_BLOCK] = 0xFFFFFFF0
    assert taken(broken) == Taken(camera="Canon EOS")


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_tells_how_its_file_stores_it(kind: str, orientation: int) -> None:
    block = Image.Exif()
    block[0x0112] = orientation
    done = process(encoded(astronaut(), kind, exif=block), recipe(), NoFaces(), LIMITS)
    width, height = astronaut().size
    upright = (height, width) if orientation >= 5 else (width, height)
    assert (done.taken.orientation, (done.width, done.height)) == (orientation, upright)
