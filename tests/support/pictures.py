"""Pictures for the tests, made of the astronaut that scikit-image ships."""

import io
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import pillow_heif
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from services.detector.picture import Limits
from shared.model_table import MODELS
from shared.recipe import Recipe

pillow_heif.register_heif_opener()  # Pillow writes HEIC by it

LIMITS = Limits(max_pixels=120_000_000)
GPS = 0x8825
EXIF_BLOCK = 0x8769
ORIENTATION = 0x0112


@cache
def astronaut() -> Image.Image:
    """512 x 400 pixels, one face; not square, so that a turned one differs in size."""
    return Image.fromarray(data.astronaut()[:400])


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    """A file of this kind."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    return file.getvalue()


def pixels(content: bytes) -> NDArray[np.int16]:
    """RGB pixels of a file, by another decoder than the one under test."""
    with Image.open(io.BytesIO(content)) as opened:
        return np.asarray(opened.convert("RGB"), np.int16)


def stored_as(upright: Image.Image, orientation: int) -> Image.Image:
    """The picture as a camera stores it that was held so: EXIF's orientation makes it upright."""
    undo = {
        1: None,
        2: Image.Transpose.FLIP_LEFT_RIGHT,
        3: Image.Transpose.ROTATE_180,
        4: Image.Transpose.FLIP_TOP_BOTTOM,
        5: Image.Transpose.TRANSPOSE,
        6: Image.Transpose.ROTATE_90,
        7: Image.Transpose.TRANSVERSE,
        8: Image.Transpose.ROTATE_270,
    }[orientation]
    return upright if undo is None else upright.transpose(undo)


def animated(kind: str, frames: Sequence[Image.Image], **options: Any) -> bytes:
    """A file of all these frames (or pages), in order."""
    first, *rest = (frame.copy() for frame in frames)  # Pillow keeps how a picture was saved before
    return encoded(first, kind, save_all=True, append_images=rest, **options)


def tiff_of(count: int, picture: Image.Image | None = None) -> bytes:
    """A TIFF of so many pages, all of which show the same pixels."""
    file = bytearray(encoded(picture or Image.new("L", (32, 24), 200), "TIFF"))
    start = int.from_bytes(file[4:8], "little")
    entries = int.from_bytes(file[start : start + 2], "little")
    directory = bytes(file[start : start + 2 + 12 * entries])
    link = start + len(directory)
    for _ in range(count - 1):
        file[link : link + 4] = len(file).to_bytes(4, "little")
        link = len(file) + len(directory)
        file += directory + bytes(4)
    return bytes(file)


def gif_of(count: int, picture: Image.Image | None = None) -> bytes:
    """A GIF of so many frames, all alike."""
    one = encoded((picture or Image.new("L", (32, 24), 200)).quantize(), "GIF")
    start = 13 + (3 << ((one[10] & 7) + 1))
    return one[:start] + one[start:-1] * count + one[-1:]


def recipe(model: str = "haar", **wanted: Any) -> Recipe:  # Any: fields of a recipe
    """A recipe for a model; Haar's scores are lower, and it is slow on large pictures."""
    if model == "haar":
        wanted = {"min_score": 0.6, "detect_size": 320, **wanted}
    return Recipe(model=model, model_version=MODELS[model].version, **wanted)
