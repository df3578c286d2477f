"""The shapes that hide a face: a rectangle, or an ellipse with a soft edge; one entry a shape.

A shape has a *core*, of which nothing may be seen, and an *extent*, the rectangle of all pixels
that it changes. What is painted replaces the core; in an edge outside of it, paint and picture mix.
"""

from collections.abc import Callable
from dataclasses import dataclass
from math import ceil, floor, sqrt
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from services.detector.models.model import Floats
from shared.messages import Face
from shared.recipe import Shape

SOFT = 1.15
"""Where the soft edge of an ellipse ends, in radii of its core."""

Places = NDArray[np.intp]


@dataclass(frozen=True)
class Area:
    """A rectangle of pixels, `right` and `bottom` excluded."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def extent(self) -> "Area":
        """Itself."""
        return self

    def rows(self, rows: Places) -> NDArray[np.bool_]:
        """Which of these rows pass through it."""
        return (rows >= self.top) & (rows < self.bottom)

    def columns(self, columns: Places) -> NDArray[np.bool_]:
        """Which of these columns pass through it."""
        return (columns >= self.left) & (columns < self.right)

    def core(self, rows: Places, columns: Places) -> NDArray[np.bool_]:
        """Which pixels, where these rows and columns cross, are hidden; shape (rows, columns)."""
        return self.rows(rows)[:, None] & self.columns(columns)

    def paint_share(self) -> None:
        """Paint covers all of it: there is no soft edge."""


@dataclass(frozen=True)
class Ellipse:
    """An upright ellipse: the centre and half axes of its core, in pixels."""

    x: float
    y: float
    across: float
    down: float
    extent: Area

    def core(self, rows: Places, columns: Places) -> NDArray[np.bool_]:
        """As of `Area`: every pixel of which the ellipse has any part."""
        return self._radii(rows, columns) <= 1

    def paint_share(self) -> Floats:
        """How much of each pixel of the extent is paint: 1 in the core, down to 0 at the edge's
        end; float32 of shape (rows, columns)."""
        rows = np.arange(self.extent.top, self.extent.bottom)
        columns = np.arange(self.extent.left, self.extent.right)
        share = (SOFT - self._radii(rows, columns)) / (SOFT - 1)
        return np.asarray(np.clip(share, 0, 1), np.float32)

    def _radii(self, rows: Places, columns: Places) -> Floats:
        """Distance of each pixel's nearest point from the centre, in radii of the core."""
        down = np.maximum(np.abs(rows + 0.5 - self.y) - 0.5, 0) / self.down
        across = np.maximum(np.abs(columns + 0.5 - self.x) - 0.5, 0) / self.across
        squares = (down * down).astype(np.float32)[:, None] + (across * across).astype(np.float32)
        return np.asarray(np.sqrt(squares, out=squares), np.float32)


class Cover(Protocol):
    """A shape at its place in a picture."""

    @property
    def extent(self) -> Area: ...

    def core(self, rows: Places, columns: Places) -> NDArray[np.bool_]: ...

    def paint_share(self) -> Floats | None: ...


def area(face: Face, margin: float, width: int, height: int) -> Area:
    """The pixels of a face and of a margin (a part of its sides) round it, within the picture."""
    across, down = face.w * margin, face.h * margin
    return _within(
        (face.x - across, face.y - down, face.x + face.w + across, face.y + face.h + down),
        width,
        height,
    )


def ellipse(face: Face, margin: float, width: int, height: int) -> Ellipse:
    """The ellipse through the corners of a face's box, grown by a margin (a part of its sides).

    So its core covers the whole box with any margin.
    """
    across = max(face.w * (sqrt(0.5) + margin), 0.5)
    down = max(face.h * (sqrt(0.5) + margin), 0.5)
    x, y = face.x + face.w / 2, face.y + face.h / 2
    wide, high = across * SOFT, down * SOFT
    extent = _within((x - wide, y - high, x + wide, y + high), width, height)
    return Ellipse(x, y, across, down, extent)


def _within(sides: tuple[float, float, float, float], width: int, height: int) -> Area:
    left = min(max(0, floor(sides[0])), width - 1)
    top = min(max(0, floor(sides[1])), height - 1)
    right, bottom = min(width, ceil(sides[2])), min(height, ceil(sides[3]))
    return Area(left, top, max(right, left + 1), max(bottom, top + 1))


SHAPES: dict[Shape, Callable[[Face, float, int, int], Cover]] = {
    Shape.BOX: area,
    Shape.ELLIPSE: ellipse,
}
"""`(face, margin, width, height of the picture)` to the shape that hides it."""
