"""Hiding faces so that nothing can bring them back.

A blur or a mosaic of the face itself can be undone or recognised (R. McPherson, R. Shokri,
V. Shmatikov, "Defeating Image Obfuscation with Deep Learning", 2016). So what is painted here is
made of what lies *around* the hidden areas, and of nothing inside them: at any strength, no hidden
pixel of the original has any influence on the result.
"""

from collections.abc import Callable, Sequence

import cv2
import numpy as np
from numpy.random import default_rng  # numpy loads it late: too late for a closed cell
from numpy.typing import NDArray

from services.detector.models.model import Floats, Pixels
from services.detector.shapes import SHAPES, Area, Cover
from services.detector.visible import OPAQUE, is_transparent
from shared.messages import Face
from shared.recipe import Shape

SAMPLES = 48
"""Surroundings are sampled on a grid of at most this many columns and rows."""

SURROUND = 0.35
"""How far round an area samples are taken, as a part of its longest side."""

FINEST_MOSAIC, COARSEST_MOSAIC = 12, 3
MOSAIC_JITTER = 14.0
GREY = 128.0


Paint = Callable[[Pixels, Area, Sequence[Cover], float], Pixels]
"""What covers an area: `(picture, hidden, covers, strength)` to pixels of the area's size. It reads
nothing of the picture in the cores of `covers`, all of which are to be hidden."""


def hide(
    picture: Pixels,
    faces: Sequence[Face],
    paint: Paint,
    margin: float,
    strength: float,
    shape: Shape = Shape.BOX,
) -> None:
    """Paint over every face, in the picture.

    `strength`, above 0 to 1, is how coarse a mosaic or how wide a blur is: it changes the looks
    only. In a picture with alpha (of which `keep_visible` has made what is visible) what is painted
    is opaque: alpha can show a face's outline as colours do.

    Where the soft edge of one face lies on the core of another that is not painted yet, it mixes
    with what is to be hidden; painting that core then replaces the mixture, and nobody reads it
    before.
    """
    height, width = picture.shape[:2]
    covers = [SHAPES[shape](face, margin, width, height) for face in faces]
    for cover in covers:
        extent = cover.extent
        covered = picture[extent.top : extent.bottom, extent.left : extent.right]
        _put(covered, paint(picture, extent, covers, strength), cover.paint_share())


def _put(covered: Pixels, painted: Pixels, share: Floats | None) -> None:
    """Put paint over what is covered, in place: all of it, or at each pixel this share, 0 to 1."""
    if share is None:
        covered[:, :, :3] = painted
        covered[:, :, 3:] = OPAQUE
        return
    if is_transparent(covered):
        visible = covered[:, :, 3].astype(np.float32) / np.float32(OPAQUE)
        opacity = share + visible * (1 - share)
        covered[:, :, 3] = np.rint(opacity * OPAQUE)
        share = np.asarray(share / np.maximum(opacity, 1e-6), np.float32)
    under = np.ascontiguousarray(covered[:, :, :3])
    covered[:, :, :3] = cv2.blendLinear(painted, under, share, 1 - share)


def solid(_: Pixels, hidden: Area, __: Sequence[Cover], ___: float) -> Pixels:
    """Black."""
    return np.zeros((hidden.bottom - hidden.top, hidden.right - hidden.left, 3), np.uint8)


def blurred(picture: Pixels, hidden: Area, covers: Sequence[Cover], strength: float) -> Pixels:
    """The colours around it, continued into it."""
    return _stretched(_surroundings(picture, hidden, covers, strength), hidden, smooth=True)


def pixelated(picture: Pixels, hidden: Area, covers: Sequence[Cover], strength: float) -> Pixels:
    """A mosaic of the colours around it."""
    mosaic = _mosaic(_surroundings(picture, hidden, covers, strength), strength)
    return _stretched(mosaic, hidden, smooth=False)


def _surroundings(
    picture: Pixels, hidden: Area, covers: Sequence[Cover], strength: float
) -> Pixels:
    """Colours that continue what lies round an area into it, as a small picture of the area.

    A normalised convolution: samples in the core of any cover have no weight, and those behind
    alpha as much as they are visible.
    """
    reach = max(4, round(SURROUND * max(hidden.right - hidden.left, hidden.bottom - hidden.top)))
    height, width = picture.shape[:2]
    rows = _grid(max(0, hidden.top - reach), min(height, hidden.bottom + reach))
    columns = _grid(max(0, hidden.left - reach), min(width, hidden.right + reach))
    seen: Floats = np.ones((len(rows), len(columns)), np.float32)
    sampled = picture[np.ix_(rows, columns)]
    if is_transparent(picture):
        seen = sampled[:, :, 3].astype(np.float32) / np.float32(OPAQUE)
    for other in covers:
        if _crosses(other.extent, rows, columns):
            seen[other.core(rows, columns)] = 0
    samples = sampled[:, :, :3].astype(np.float32) * seen[..., None]
    sigma = SAMPLES * (0.1 + 0.25 * strength)
    weight = _spread(seen, sigma)[..., None]
    colours = (_spread(samples, sigma) + GREY * 1e-6) / (weight + 1e-6)
    inside = np.ix_(hidden.rows(rows), hidden.columns(columns))
    within = np.clip(colours[inside], 0, 255).astype(np.uint8)
    return within if within.size else np.full((1, 1, 3), GREY, np.uint8)


def _grid(start: int, stop: int) -> NDArray[np.intp]:
    count = min(SAMPLES, stop - start)
    return np.linspace(start, stop - 1, count).astype(np.intp)


def _crosses(extent: Area, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> bool:
    """Whether it may lie on any of these; of thousands of faces few do."""
    return bool(
        extent.left <= columns[-1]
        and columns[0] < extent.right
        and extent.top <= rows[-1]
        and rows[0] < extent.bottom
    )


def _spread(values: Floats, sigma: float) -> Floats:
    size = 2 * SAMPLES - 1
    spread = cv2.GaussianBlur(values, (size, size), sigma, borderType=cv2.BORDER_CONSTANT)
    return np.asarray(spread, np.float32)


def _mosaic(around: Pixels, strength: float) -> Pixels:
    """A few cells, of uneven brightness so that they look like a mosaic; always the same ones."""
    cells = round(FINEST_MOSAIC + (COARSEST_MOSAIC - FINEST_MOSAIC) * strength)
    coarse = cv2.resize(around, (cells, cells), interpolation=cv2.INTER_AREA).astype(np.float32)
    jitter = default_rng(cells).uniform(-MOSAIC_JITTER, MOSAIC_JITTER, (cells, cells, 1))
    return np.clip(coarse + jitter, 0, 255).astype(np.uint8)


def _stretched(painted: Pixels, hidden: Area, *, smooth: bool) -> Pixels:
    size = hidden.right - hidden.left, hidden.bottom - hidden.top
    how = cv2.INTER_LINEAR if smooth else cv2.INTER_NEAREST
    return np.asarray(cv2.resize(painted, size, interpolation=how), np.uint8).reshape(
        size[1], size[0], 3
    )
