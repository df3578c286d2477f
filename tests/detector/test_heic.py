"""HEIC by itself. It is no entry of FORMATS yet: its decoder starts a thread."""

import numpy as np
import pytest
from PIL import Image

from services.detector.failures import BadPicture
from services.detector.formats.heic import HEIC
from services.detector.formats.heic_items import costs, largest
from shared.reasons import Reason
from tests.support import bombs
from tests.support.pictures import ORIENTATION, astronaut, encoded


def test_colours_of_a_heic_are_those_of_the_picture() -> None:
    content = encoded(astronaut(), "HEIF", quality=90)
    found = HEIC.decode(content, HEIC.read_header(content), 1)
    wrong = np.abs(found[:, :, ::-1].astype(int) - np.asarray(astronaut())).mean()
    assert found.flags.writeable and wrong < 6, "mean difference of a channel"


def test_a_picture_that_is_nowhere_transparent_has_three_channels_else_four() -> None:
    for alpha, channels in ((255, 3), (80, 4)):
        content = encoded(Image.new("RGBA", (90, 50), (1, 2, 3, alpha)), "HEIF")
        assert HEIC.decode(content, HEIC.read_header(content), 1).shape == (50, 90, channels)


def test_sizes_are_read_from_the_coded_pixels() -> None:
    assert (512, 400) in set(largest(encoded(astronaut(), "HEIF")))


def test_a_heic_whose_pixels_are_more_than_its_container_tells_is_refused() -> None:
    with pytest.raises(BadPicture, match="8 x 8 pixels and holds"):
        HEIC.read_header(bombs.lying("HEIF", b"ispe", 4, 8, 2000))


def test_a_heic_of_too_many_boxes_is_refused() -> None:
    with pytest.raises(BadPicture) as refused:
        costs(encoded(bombs.SMALL, "HEIF") + bombs.box(b"free") * 20_000)
    assert refused.value.reason is Reason.TOO_COMPLEX


def test_exif_does_not_turn_a_heic_a_second_time() -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = 6
    content = encoded(astronaut(), "HEIF", exif=exif.tobytes())
    header = HEIC.read_header(content)
    assert header.orientation == 1 and ORIENTATION not in header.exif
