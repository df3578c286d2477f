"""Further pictures behind a JPEG: views are pages; previews, maps and videos are not."""

import struct
from pathlib import Path

import pytest
from PIL import Image

from services.detector.failures import BadPicture
from services.detector.formats.jpeg import JPEG
from services.detector.header import read_header
from services.detector.models import Model, load
from services.detector.picture import process
from shared.recipe import Mode
from tests.support.pictures import LIMITS, animated, astronaut, recipe

DISPARITY, LARGE_PREVIEW, UNTOLD = 0x020002, 0x010002, 0


def multi_picture(kind: int) -> bytes:
    """A JPEG with nothing in it, and a face in the picture behind, which says that it is `kind`."""
    content = bytearray(animated("MPO", [Image.new("RGB", (512, 400)), astronaut()]))
    index = content.index(b"MPF\0") + 4
    order = "<" if content.startswith(b"II", index) else ">"
    behind = content.index(b"\xff\xd8\xff", content.index(b"\xff\xd9"))
    at = content.index(struct.pack(f"{order}I", behind - index), index) - 8
    struct.pack_into(f"{order}I", content, at, kind)
    return bytes(content)


@pytest.fixture(scope="module")
def haar() -> Model:
    return load("haar", Path())


def test_the_other_eye_of_a_stereo_picture_is_a_page(haar: Model) -> None:
    done = process(multi_picture(DISPARITY), recipe(mode=Mode.NONE), haar, LIMITS)

    assert (done.status, done.pages, len(done.searched), done.cut) == ("faces", 2, 2, False)
    assert [face.page for face in done.faces] == [2]


@pytest.mark.parametrize("kind", [LARGE_PREVIEW, UNTOLD])
def test_previews_and_maps_are_no_pages(kind: int, haar: Model) -> None:
    done = process(multi_picture(kind), recipe(mode=Mode.NONE), haar, LIMITS)

    assert (done.status, done.pages, done.searched, done.cut) == ("no_faces", 1, (), False)


def test_a_view_that_is_cut_off_fails_alone() -> None:
    content = multi_picture(DISPARITY)
    first = content.index(b"\xff\xd9") + 2
    short = content[: first + 200]
    pages = JPEG.pages(short, read_header(short, LIMITS.max_pixels))
    assert pages is not None

    found = list(pages.each())

    assert not isinstance(found[0], BadPicture)
    assert len(found) == 2
