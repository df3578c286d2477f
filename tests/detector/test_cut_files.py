"""Files that end before their pictures do: searched as far as they go, and told."""

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from services.detector.decode import decode
from services.detector.failures import BadPicture
from services.detector.formats import READABLE, recognised
from services.detector.formats.format import Format
from services.detector.header import read_header
from services.detector.models import load
from services.detector.picture import process
from shared.reasons import Reason
from shared.recipe import Mode
from tests.support.pictures import LIMITS, animated, astronaut, encoded, pixels, recipe

WHOLE: dict[str, Callable[[], bytes]] = {
    "JPEG": lambda: encoded(astronaut(), "JPEG"),
    "JPEG progressive": lambda: encoded(astronaut(), "JPEG", progressive=True),
    "JPEG grey": lambda: encoded(astronaut().convert("L"), "JPEG"),
    "JPEG CMYK": lambda: encoded(astronaut().convert("CMYK"), "JPEG"),
    "PNG": lambda: encoded(astronaut(), "PNG"),
    "PNG palette": lambda: encoded(astronaut().convert("P"), "PNG"),
    "GIF": lambda: encoded(astronaut(), "GIF", interlace=False),
    "BMP": lambda: encoded(astronaut(), "BMP"),
    "TIFF": lambda: encoded(astronaut(), "TIFF"),
}
"""Each of a face in its upper half."""


def cut(content: bytes, part: float) -> bytes:
    return content[: int(len(content) * part)]


def format_of(content: bytes) -> Format:
    found = recognised(content)
    assert isinstance(found, Format)
    return found


@pytest.mark.parametrize("kind", WHOLE)
def test_a_whole_file_is_not_said_to_be_cut(kind: str) -> None:
    content = WHOLE[kind]()

    assert not format_of(content).is_cut(content)


@pytest.mark.parametrize("part", [0.6, 0.9])
@pytest.mark.parametrize("kind", WHOLE)
def test_a_cut_file_is_decoded_as_far_as_it_goes(kind: str, part: float) -> None:
    content = cut(WHOLE[kind](), part)
    header = read_header(content, LIMITS.max_pixels)

    found = decode(content, header)

    assert format_of(content).is_cut(content)
    assert found.shape == (400, 512, 3)
    whole = pixels(WHOLE[kind]())
    first = slice(-100, None) if kind == "BMP" else slice(0, 100)  # whose last row comes first
    most = 40 if kind == "JPEG progressive" else 12 if kind == "JPEG CMYK" else 4
    assert np.abs(found[first, :, ::-1].astype(int) - whole[first]).mean() < most


@pytest.mark.parametrize(
    "kind", [kind for kind in WHOLE if kind not in ("JPEG progressive", "BMP")]
)
def test_what_is_missing_is_of_one_colour(kind: str) -> None:
    content = cut(WHOLE[kind](), 0.5)

    last = decode(content, read_header(content, LIMITS.max_pixels))[-8:]

    assert np.ptp(last.reshape(-1, 3), axis=0).max() <= 1


def test_a_cut_file_is_searched_and_its_row_says_so() -> None:
    model = load("haar", Path())
    whole, short = WHOLE["JPEG"](), cut(WHOLE["JPEG"](), 0.9)

    found, found_short = (
        process(content, recipe(mode=Mode.NONE), model, LIMITS) for content in (whole, short)
    )

    assert (found.status, found.cut) == ("faces", False)
    assert (found_short.status, found_short.cut) == ("faces", True)
    assert len(found_short.faces) == len(found.faces)


@pytest.mark.parametrize("missing", [b"\xff\xd9", b"\xd9"])
def test_a_jpeg_without_its_end_is_whole_to_the_eye(missing: bytes) -> None:
    content = WHOLE["JPEG"]()

    found = decode(content.removesuffix(missing), read_header(content, LIMITS.max_pixels))

    assert np.abs(found[:, :, ::-1].astype(int) - pixels(content)).mean() < 2


@pytest.mark.parametrize("behind", [b"\0" * 5000, b"....ftypmp42" + b"\xff\xd8\xff\xe0" * 9000])
def test_what_follows_behind_a_jpeg_does_not_make_it_cut(behind: bytes) -> None:
    content = WHOLE["JPEG"]() + behind
    header = read_header(content, LIMITS.max_pixels)

    assert not format_of(content).is_cut(content)
    assert format_of(content).pages(content, header) is None
    assert (decode(content, header) == decode(WHOLE["JPEG"](), header)).all()


def test_of_a_cut_animation_the_whole_frames_are_searched() -> None:
    frames = [astronaut(), astronaut().transpose(Image.Transpose.FLIP_LEFT_RIGHT)]
    content = cut(animated("WEBP", frames), 0.9)
    header = read_header(content, LIMITS.max_pixels)
    pages = READABLE["WebP"].pages(content, header)
    assert pages is not None

    first, second = pages.each()

    assert not isinstance(first, BadPicture)
    assert first.decode().shape == (400, 512, 3)
    assert not isinstance(second, BadPicture)
    with pytest.raises(BadPicture, match="ends before its frame 2"):
        second.decode()


@pytest.mark.parametrize("compression", ["tiff_lzw", "tiff_adobe_deflate", "packbits"])
def test_a_tiff_whose_last_strips_are_missing_has_the_rows_before_them(compression: str) -> None:
    content = encoded(astronaut(), "TIFF", compression=compression, strip_size=16 * 512 * 3)
    directory = int.from_bytes(content[4:8], "little")
    # As programs write it that put the directory before the pixels.
    header = read_header(content, LIMITS.max_pixels)
    with Image.open(io.BytesIO(content)) as opened:
        strips = opened.tag_v2[273]  # type: ignore[attr-defined]
    beyond = bytearray(content)
    at = content.index(strips[-1].to_bytes(4, "little"), directory)
    beyond[at : at + 4] = len(content).to_bytes(4, "little")

    found = decode(bytes(beyond), header)

    assert format_of(content).is_cut(bytes(beyond))
    assert not found[-8:].any()
    assert (found[:384] == decode(content, header)[:384]).all()


@pytest.mark.parametrize(
    "content",
    [
        pytest.param(lambda: encoded(astronaut(), "WEBP"), id="a WebP of one frame"),
        pytest.param(lambda: encoded(astronaut(), "TIFF", compression="tiff_lzw"), id="a TIFF"),
        pytest.param(lambda: WHOLE["BMP"]()[:108], id="a BMP of a head alone"),
    ],
)
def test_where_nothing_can_be_decoded_the_file_is_truncated(content: Callable[[], bytes]) -> None:
    short = cut(content(), 0.5)

    with pytest.raises(BadPicture) as refused:
        decode(short, read_header(short, LIMITS.max_pixels))

    assert refused.value.reason is Reason.TRUNCATED
