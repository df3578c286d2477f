"""HEIC: tiles, several pictures, transparency, and files that say what is not so."""

import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.detector.failures import BadPicture
from services.detector.formats.heic import HEIC
from services.detector.formats.heic_items import costs, sizes
from services.detector.header import read_header
from services.detector.models import Pixels, load
from services.detector.picture import process
from shared.reasons import Reason
from tests.support import bombs
from tests.support.fuzzed import NoFaces
from tests.support.heic_pictures import grid, heic_10_bits, tiles_of
from tests.support.pictures import (
    LIMITS,
    ORIENTATION,
    animated,
    astronaut,
    encoded,
    recipe,
    stored_as,
)


def decoded(content: bytes) -> Pixels:
    return HEIC.decode(content, read_header(content, LIMITS.max_pixels), 1)


KINDS = {
    "one picture": lambda: encoded(astronaut(), "HEIF", quality=90),
    "tiles, cut at the edges": lambda: grid(
        tiles_of(astronaut(), 128), 4, astronaut().size, quality=90
    ),
    "ten bits": lambda: heic_10_bits(astronaut()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_colours_of_a_heic_are_those_of_the_picture(kind: str) -> None:
    found = decoded(KINDS[kind]())
    wrong = np.abs(found[:, :, ::-1].astype(int) - np.asarray(astronaut())).mean()
    assert found.flags.writeable and wrong < 6, "mean difference of a channel"


def test_a_picture_that_is_nowhere_transparent_has_three_channels_else_four() -> None:
    for alpha, channels in ((255, 3), (80, 4)):
        content = encoded(Image.new("RGBA", (90, 50), (1, 2, 3, alpha)), "HEIF")
        assert decoded(content).shape == (50, 90, channels)


def test_colours_that_were_multiplied_by_alpha_are_divided_by_it() -> None:
    picture = Image.new("RGBA", (64, 64), (200, 100, 40, 128))
    straight, multiplied = (
        decoded(encoded(picture.convert(mode), "HEIF", quality=-1)) for mode in ("RGBA", "RGBa")
    )
    assert straight[30, 30].tolist() == pytest.approx([40, 100, 200, 128], abs=4)
    assert multiplied[30, 30].tolist() == pytest.approx([40, 100, 200, 128], abs=4)


def test_exif_does_not_turn_a_heic_a_second_time() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    content = encoded(astronaut(), "HEIF", exif=exif.tobytes())
    header = read_header(content, LIMITS.max_pixels)
    assert b"irot" in content
    assert (header.width, header.height, header.orientation) == (400, 512, 1)
    assert ORIENTATION not in header.exif


LOSING_NOTHING: dict[str, dict[str, int]] = {
    "HEIF": {"quality": -1, "chroma": 444, "matrix_coefficients": 0},
    "JPEG": {"quality": 100, "subsampling": 0},
}
"""What an encoder loses moves a box by more than turning does."""


@pytest.mark.parametrize("orientation", range(1, 9))
def test_faces_of_a_heic_are_where_those_of_the_jpeg_are_however_it_was_held(
    orientation: int, sample_models: Path
) -> None:
    yunet = load("yunet", sample_models)
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    stored = stored_as(astronaut(), orientation)
    of_heic, of_jpeg = (
        process(
            encoded(stored, kind, exif=exif.tobytes(), **options), recipe("yunet"), yunet, LIMITS
        )
        for kind, options in LOSING_NOTHING.items()
    )
    assert len(of_heic.faces) == len(of_jpeg.faces) == 1
    [found], [same] = of_heic.faces, of_jpeg.faces
    assert (of_heic.width, of_heic.height) == (512, 400)
    assert [found.x, found.y, found.w, found.h] == pytest.approx(
        [same.x, same.y, same.w, same.h], abs=2
    )


def test_an_orientation_that_exif_alone_tells_turns_nothing() -> None:
    """As every viewer shows it: 23008-12 has EXIF repeat what the properties say."""
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    content = encoded(astronaut(), "HEIF", exif=exif.tobytes()).replace(b"irot", b"free")
    header = read_header(content, LIMITS.max_pixels)
    assert (header.width, header.height, header.orientation) == (512, 400, 1)


def test_each_picture_of_a_heic_is_a_page_and_the_primary_one_is_the_first() -> None:
    shades = [Image.new("RGB", (64 + n, 64), (n, n, n)) for n in (0, 60, 120)]
    content = animated("HEIF", shades, primary_index=1, quality=90)
    header = read_header(content, LIMITS.max_pixels)
    pages = HEIC.pages(content, header)
    assert header.width == 124 and pages is not None and pages.count == 3 and pages.own_sizes
    found = [page for page in pages.each() if not isinstance(page, BadPicture)]
    assert [page.header.width for page in found] == [124, 64, 184]
    assert [round(page.decode().mean() / 60) for page in found] == [1, 0, 2]


def test_a_heic_whose_pictures_are_all_of_an_unknown_kind_fails_in_words() -> None:
    """Found by the fuzzer: libheif opens it, and shows none."""
    content = encoded(bombs.SMALL, "HEIF").replace(b"hvc1", b"abcd")
    done = process(content, recipe(), NoFaces(), LIMITS)
    assert (done.status, done.code) == ("failed", Reason.DAMAGED)
    assert "HEIC" in done.reason


def test_a_heic_whose_items_are_named_in_no_text_fails_in_words() -> None:
    """Found by the fuzzer: pi-heif ends its process at such a name."""
    content = encoded(bombs.SMALL, "HEIF", exif=b"Exif\0\0MM\0*\0\0\0\x08\0\0")
    bad = content.replace(b"Exif\0", b"Exi\x80\0", 1)
    assert bad != content and refused(bad).reason is Reason.DAMAGED


def test_sizes_are_read_from_the_properties_and_the_coded_pixels() -> None:
    [one] = sizes(encoded(astronaut(), "HEIF"))
    assert (one.told, set(one.coded)) == ([(512, 400)], {(512, 400)})
    *tiles, whole = sizes(grid(tiles_of(astronaut(), 128), 4, (512, 400)))
    assert all((set(tile.told), set(tile.coded)) == ({(128, 128)},) * 2 for tile in tiles)
    assert (len(tiles), whole.told, whole.coded) == (16, [(512, 400)], [(512, 400)])


def refused(content: bytes) -> BadPicture:
    with pytest.raises(BadPicture) as error:
        costs(content)
        HEIC.read_header(content)
    return error.value


def test_a_picture_or_a_tile_that_holds_more_pixels_than_is_told_is_refused() -> None:
    lying = refused(bombs.lying("HEIF", b"ispe", 4, 8, 2000))
    assert "8 x 8 pixels and holds 2000 x 2000" in str(lying)
    tile = Image.new("RGB", (1024, 1024))
    assert "64 x 64 pixels and holds" in str(refused(grid([tile], 1, (64, 64), told=(64, 64))))


def test_tiles_that_are_far_larger_than_their_picture_are_refused() -> None:
    tile = Image.new("RGB", (1024, 1024))
    bomb = grid([tile], 30, (1024, 1024), named=[1] * 900)
    assert refused(bomb).reason is Reason.TOO_COMPLEX
    assert "943,718,400 pixels to decode" in str(refused(bomb))


def test_transparency_that_is_far_larger_than_its_picture_is_refused() -> None:
    content = encoded(Image.new("RGBA", (4000, 4000), (1, 2, 3, 4)), "HEIF")
    at = content.index(struct.pack(">II", 4000, 4000))
    small = content[:at] + struct.pack(">II", 64, 64) + content[at + 8 :]
    assert refused(small).reason is Reason.TOO_COMPLEX
    assert "16,000,000 pixels to decode" in str(refused(small))


def test_a_grid_of_grids_too_many_tiles_and_too_many_boxes_are_refused() -> None:
    tiles = [Image.new("RGB", (64, 64))] * 2
    itself = grid(tiles, 2, (128, 64), named=[1, 3])
    many = grid(tiles[:1], 64, (4096, 1024), named=[1] * 1024)
    boxes = encoded(bombs.SMALL, "HEIF") + bombs.box(b"free") * 20_000
    for bomb, told in ((itself, "derived from derived"), (many, "tiles"), (boxes, "boxes")):
        assert refused(bomb).reason is Reason.TOO_COMPLEX
        assert told in str(refused(bomb))


@pytest.mark.parametrize("content", [KINDS[kind]() for kind in KINDS], ids=list(KINDS))
def test_a_heic_that_is_cut_anywhere_fails_and_says_so(content: bytes) -> None:
    for end in range(16, len(content), len(content) // 25):
        done = process(content[:end], recipe(), NoFaces(), LIMITS)
        assert done.status == "failed", end
        assert done.code in (Reason.DAMAGED, Reason.TRUNCATED, Reason.UNSUPPORTED), done.reason
        assert "HEIC" in done.reason
