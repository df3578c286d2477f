"""What of a picture is visible, where parts of it are transparent: the one place that decides.

Decoders give straight alpha as a fourth channel where something is not opaque. Programs that erase
often set alpha to 0 and leave the colours as they were. So colours behind alpha never go further
than this: they are laid on white, or made no more exact than they could be seen.
"""

import numpy as np
from numpy.typing import NDArray

from services.detector.models.model import Pixels

OPAQUE = 255

BACKGROUND = 255
"""White: what viewers and paper show behind pictures that were cut out. Dark hair and the edge of
a face differ from it, while on black they would vanish."""

_ROWS = 128
"""Rows at a time: arithmetic needs more bits than pixels have, for a part of the picture only."""


def is_transparent(picture: Pixels) -> bool:
    """Whether a picture has a channel of alpha. Nothing is looked at: decoders give one only where
    something is not opaque."""
    channels: int = picture.shape[2]
    return channels == 4


def without_needless_alpha(picture: Pixels) -> Pixels:
    """BGRA as decoders are to give it: BGR where everything is opaque."""
    if is_transparent(picture) and int(picture[:, :, 3].min(initial=OPAQUE)) == OPAQUE:
        return np.ascontiguousarray(picture[:, :, :3])
    return picture


def flattened(picture: Pixels) -> Pixels:
    """The picture as BGR, laid on white; one without alpha is not copied."""
    if not is_transparent(picture):
        return picture
    flat = np.empty((*picture.shape[:2], 3), np.uint8)
    for rows in _bands(picture):
        alpha = picture[rows, :, 3:].astype(np.uint16)
        seen = picture[rows, :, :3] * alpha + BACKGROUND * (OPAQUE - alpha)
        flat[rows] = (seen + OPAQUE // 2) // OPAQUE
    return flat


def keep_visible(picture: Pixels) -> None:
    """Make colours behind alpha as exact as they are visible, in the picture itself.

    They are multiplied by alpha, rounded to 8 bits and divided again. Where alpha is 0 nothing of a
    colour stays. Without alpha nothing is done.
    """
    if is_transparent(picture):
        for rows in _bands(picture):
            picture[rows, :, :3] = _SEEN[picture[rows, :, 3:], picture[rows, :, :3]]


def _seen() -> NDArray[np.uint8]:
    """A table of 256 x 256: of alpha and colour, the colour that can be told from the result."""
    alpha, colour = np.ogrid[:256, :256]
    multiplied = (colour * alpha + OPAQUE // 2) // OPAQUE
    divided = (multiplied * OPAQUE + alpha // 2) // np.maximum(alpha, 1)
    return np.where(alpha == 0, 0, np.minimum(divided, OPAQUE)).astype(np.uint8)


_SEEN = _seen()


def _bands(picture: Pixels) -> list[slice]:
    return [slice(at, at + _ROWS) for at in range(0, picture.shape[0], _ROWS)]
