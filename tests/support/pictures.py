"""Pictures for the tests, made of the astronaut that scikit-image ships."""

import io
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from skimage import data

from services.detector.picture import Limits
from shared.model_table import MODELS
from shared.recipe import Recipe

LIMITS = Limits(max_pixels=120_000_000)
GPS = 0x8825
EXIF_BLOCK = 0x8769
ORIENTATION = 0x0112


@cache
def astronaut() -> Image.Image:
    """512 x 400 pixels, one face; not square, so that a turned one differs in size."""
    return Image.fromarray(data.astronaut()[:400])


def encoded(picture: Image.Image, kind: str, **options: object) -> bytes:
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


def recipe(model: str = "haar", **wanted: Any) -> Recipe:  # Any: fields of a recipe
    """A recipe for a model; Haar's scores are lower, and it is slow on large pictures."""
    if model == "haar":
        wanted = {"min_score": 0.6, "detect_size": 320, **wanted}
    return Recipe(model=model, model_version=MODELS[model].version, **wanted)
