"""Searching a picture at the scales that a recipe asks for. Never scales up."""

import cv2
import numpy as np

from services.detector.fuse import fuse, suppress, voted
from services.detector.models.model import Detections, Model, Pixels

ACCURATE_SCALES = (0.75, 1.5)
"""The two sizes of an accurate search, as parts of the size asked for: 480 and 960 for 640.

The work grows with the area, so both together cost 2.8 times the default search. The larger one
finds the small faces; the smaller one confirms the others, and drops false alarms.
"""

WORTH_TWICE = 1.25
"""Where the larger size is less than this times the smaller (a small picture), one is enough."""

LEAST_DOUBTED = 0.02
"""A scale gives candidates of half the score asked for, since the other scale may confirm them;
but not fainter ones than this unless asked: there are thousands, and they cost more than they find.
"""


def sizes(detect_size: int, accurate: bool, longest: int) -> tuple[int, ...]:
    """The longest sides to search a picture at whose own longest side is `longest`; largest last.

    Every one is at most `longest`: nothing is scaled up.
    """
    if not accurate:
        return (min(detect_size, longest),)
    small, large = (min(round(detect_size * part), longest) for part in ACCURATE_SCALES)
    return (small, large) if large >= WORTH_TWICE * small else (large,)


def search(
    model: Model,
    picture: Pixels,
    size: tuple[int, int],
    wanted: tuple[int, ...],
    *,
    accurate: bool,
    min_score: float,
) -> Detections:
    """Faces of an upright picture, in pixels of the full picture's `size` (width, height).

    `picture` may be smaller than `size` says, but not smaller than the largest of `wanted`.
    """
    if not accurate:
        found = _at(model, picture, size, wanted[-1], min_score)[0]
        return suppress(found, min_score, model.overlap)
    least = max(min_score / 2, min(min_score, LEAST_DOUBTED))
    scales = []
    for longest in reversed(wanted):  # each size is made of the larger one, which is cheaper
        found, factor, picture = _at(model, picture, size, longest, least)
        scales.append((voted(found, least), factor))
    return fuse(scales, min_score)


def _at(
    model: Model, picture: Pixels, size: tuple[int, int], longest: int, min_score: float
) -> tuple[Detections, float, Pixels]:
    """The candidates at one size, its scale against the full picture, and the pixels searched."""
    small = scaled_down(picture, longest)
    found = model.detect(small, min_score)
    height, width = small.shape[:2]
    return found.scaled(size[0] / width, size[1] / height), width / size[0], small


def scaled_down(picture: Pixels, longest: int) -> Pixels:
    """The picture with its longest side at most `longest`.

    Down to a half, bilinear interpolation reads every pixel; further down it would skip some, so
    a large picture is halved first, as often as it takes. Averaging areas instead takes five times
    as long. An odd last row or column is left out, with which a halving takes twice as long; that
    moves what is found by less than a pixel of the picture that comes out.
    """
    height, width = picture.shape[:2]
    if longest >= max(height, width):
        return picture
    while max(height, width) > 2 * longest:
        height, width = max(1, height // 2), max(1, width // 2)
        picture = _resized(picture[: 2 * height, : 2 * width], width, height)
    factor = longest / max(height, width)
    return _resized(picture, max(1, round(width * factor)), max(1, round(height * factor)))


def _resized(picture: Pixels, width: int, height: int) -> Pixels:
    return np.asarray(
        cv2.resize(picture, (width, height), interpolation=cv2.INTER_LINEAR), np.uint8
    )
