"""PSD and PSB: their composite is searched."""

import struct
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from services.detector.failures import BadPicture
from services.detector.formats.psd import PSD
from services.detector.header import read_header
from services.detector.models.model import Pixels
from shared.reasons import Reason
from tests.support.pictures import LIMITS, astronaut
from tests.support.psd_pictures import psd


def half_clear() -> Image.Image:
    picture = astronaut().convert("RGBA")
    picture.putalpha(Image.linear_gradient("L").resize(picture.size))
    return picture


PICTURES: dict[str, Callable[[], Image.Image]] = {
    "grey": lambda: astronaut().convert("L"),
    "RGB": astronaut,
    "RGB with alpha": half_clear,
    "CMYK": lambda: astronaut().convert("CMYK"),
}


def decoded(content: bytes) -> Pixels:
    PSD.costs(content)
    return PSD.decode(content, PSD.read_header(content), 1)


@pytest.mark.parametrize("packed", [True, False])
@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("kind", PICTURES)
def test_the_composite_has_the_pixels_of_the_picture(
    kind: str, wide: bool, bits: int, packed: bool
) -> None:
    picture = PICTURES[kind]()

    found = decoded(psd(picture, wide=wide, bits=bits, packed=packed))

    wanted = np.asarray(picture if picture.mode == "RGBA" else picture.convert("RGB"), np.int16)
    order = [2, 1, 0, 3][: wanted.shape[2]]
    assert np.abs(found[:, :, order] - wanted).max() <= 1


def test_a_composite_that_hides_nothing_has_no_alpha() -> None:
    assert decoded(psd(astronaut().convert("RGBA"))).shape == (400, 512, 3)


def test_a_file_that_ends_within_its_rows_is_truncated() -> None:
    content = psd(astronaut())

    with pytest.raises(BadPicture) as refused:
        decoded(content[: len(content) // 2])

    assert refused.value.reason is Reason.TRUNCATED


def test_a_size_of_too_many_rows_is_refused_before_they_are_listed() -> None:
    content = bytearray(psd(astronaut(), wide=True))
    content[14:18] = (1_000_000).to_bytes(4, "big")

    with pytest.raises(BadPicture) as refused:
        read_header(bytes(content), LIMITS.max_pixels)

    assert refused.value.reason is Reason.TOO_COMPLEX


def test_layers_longer_than_any_file_leave_no_composite() -> None:
    """Found by the fuzzer."""
    content = bytearray(psd(astronaut(), wide=True))
    at = content.index(b"8BIM") + 12 + 8
    content[at : at + 8] = b"\xff" * 8

    with pytest.raises(BadPicture):
        decoded(bytes(content))


def test_resources_without_end_are_refused() -> None:
    content = psd(astronaut())
    empty = b"8BIM\4\0\0\0\0\0\0\0"
    many = content[:30] + (len(empty) * 20_000).to_bytes(4, "big") + empty * 20_000

    with pytest.raises(BadPicture) as refused:
        read_header(many, LIMITS.max_pixels)

    assert refused.value.reason is Reason.TOO_COMPLEX


@pytest.mark.parametrize("wide", [False, True])
@pytest.mark.parametrize("kind", [b"Mt16", b"Mtrn", b"Lr16"])
def test_of_sixteen_bits_a_tagged_block_tells_of_transparency(kind: bytes, wide: bool) -> None:
    """Photoshop keeps the layers of such a file there; what it erased must not come back."""
    size = struct.pack(">Q" if wide else ">I", 4)
    tagged = b"8BIM" + kind + size + struct.pack(">h", -1) + bytes(2)
    content = psd(half_clear(), wide=wide, bits=16, tagged=tagged)
    pixels = PSD.decode(content, read_header(content, 10**6), 1)
    assert pixels.shape[2] == 4
    without = b"8BIM" + b"Lr16" + size + struct.pack(">h", 1) + bytes(2)
    content = psd(half_clear(), wide=wide, bits=16, tagged=without)
    assert PSD.decode(content, read_header(content, 10**6), 1).shape[2] == 3
