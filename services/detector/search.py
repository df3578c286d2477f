"""Searching a picture at the scales that a recipe asks for. Never scales up."""

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np

from services.detector.fuse import Seen, all_kept, and_large, fuse, suppress, voted
from services.detector.models.model import Detections, Model, Pixels

CLOSER = 1.5
"""How much larger an accurate search looks besides the size asked for: at 960 for 640. It does so
twice, the second time at the mirrored picture, which the network judges anew: most false alarms
are seen once only. The work grows with the area: 5.5 times that of the default search."""

WORTH_CLOSER = 1.25
"""Where that is less than this times the size asked for (a small picture), only the mirrored
picture is looked at again."""

REACH = 800
"""Up to this size the network finds a face that fills the picture; of 57 faces enlarged so, it
found 57 at 800 pixels, 56 at 960 and none at 1280."""

OVERVIEW = 320
"""Beyond its reach a search looks once more at this size, for large faces alone."""

LEAST_DOUBTED = 0.02
"""An accurate search fuses candidates fainter than the score asked for, since other looks may
confirm them; but not fainter than this: there are thousands, and they cost more than they find."""


@dataclass(frozen=True)
class Look:
    """One pass over the picture, scaled to this longest side, in pixels."""

    size: int
    mirrored: bool = False


@dataclass(frozen=True)
class Looks:
    """What a picture is searched by.

    Attributes:
        plain: the search that was asked for.
        closer: what an accurate search looks at besides.
        overview: for faces too large for `plain`.
    """

    plain: Look
    closer: tuple[Look, ...] = ()
    overview: Look | None = None

    @property
    def largest(self) -> int:
        """The longest side that any of them needs, in pixels."""
        return max(look.size for look in (self.plain, *self.closer))


def looks(detect_size: int, accurate: bool, longest: int) -> Looks:
    """How to search a picture whose longest side is `longest`; none of them scales it up."""
    plain = Look(min(detect_size, longest))
    overview = Look(OVERVIEW) if plain.size > REACH else None
    if not accurate:
        return Looks(plain, overview=overview)
    size = min(round(detect_size * CLOSER), longest)
    if size < WORTH_CLOSER * plain.size:
        return Looks(plain, (Look(plain.size, mirrored=True),), overview)
    return Looks(plain, (Look(size), Look(size, mirrored=True)), overview)


Scaled = Callable[[int], Pixels]
"""The upright picture with its longest side at most so many pixels, made of the same pixels
whatever else is asked for."""


def search(
    model: Model, scaled: Scaled, size: tuple[int, int], wanted: Looks, min_score: float
) -> Detections:
    """Faces of a picture, best first, in pixels of the full picture's `size` (width, height).

    Whatever `wanted.closer` shows, no face is lost that the others find, nor is its score lowered.
    """
    least = min(min_score, LEAST_DOUBTED) if wanted.closer else min_score
    plain = _seen(model, scaled, size, wanted.plain, least)
    found = suppress(plain.found, min_score, model.overlap)
    if wanted.overview:
        overview = _seen(model, scaled, size, wanted.overview, min_score)
        large = suppress(overview.found, min_score, model.overlap)
        found = and_large(found, large, REACH / 2 / plain.factor)
    if wanted.closer:
        closer = (_seen(model, scaled, size, look, least) for look in wanted.closer)
        fused = fuse([Seen(voted(one.found, least), one.factor) for one in (plain, *closer)])
        found = all_kept(fused, found, min_score)
    return found


def _seen(
    model: Model, scaled: Scaled, size: tuple[int, int], look: Look, min_score: float
) -> Seen:
    picture = scaled(look.size)
    height, width = picture.shape[:2]
    if look.mirrored:
        found = model.detect(_mirrored(picture), min_score).mirrored(width)
    else:
        found = model.detect(picture, min_score)
    return Seen(found.scaled(size[0] / width, size[1] / height), width / size[0])


def _mirrored(picture: Pixels) -> Pixels:
    return np.asarray(cv2.flip(picture, 1), np.uint8)


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
