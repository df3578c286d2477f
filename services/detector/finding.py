"""The faces of pixels that are decoded already."""

from collections.abc import Callable

from services.detector.formats.format import Header
from services.detector.models.model import Detections, Model, Pixels
from services.detector.orient import upright, upright_size
from services.detector.search import Looks, looks, scaled_down, search
from shared.fields import COUNT_LIMIT
from shared.messages import Face
from shared.recipe import Recipe

FOUND_LIMIT = 20_000
"""Most faces of one picture, so that an absurd one costs no more than seconds: as many as fit one
of 5 megapixels at 16 pixels each."""


def size_of(header: Header) -> tuple[int, int]:
    """Width and height, upright."""
    return upright_size(header.width, header.height, header.orientation)


def told_size(header: Header) -> tuple[int, int]:
    """The same for rows, also of what no decoder takes: 0 and 0 where a side is longer than a row
    can hold. (A TIFF may claim 64 bits of it.)"""
    size = size_of(header)
    return size if max(size) < COUNT_LIMIT and min(size) >= 0 else (0, 0)


def looks_at(header: Header, recipe: Recipe) -> Looks:
    """How a picture is searched."""
    return looks(recipe.detect_size, recipe.accurate, max(size_of(header)))


def find(
    stored: Pixels | Callable[[int], Pixels],
    header: Header,
    recipe: Recipe,
    model: Model,
    page: int | None = None,
) -> tuple[Face, ...]:
    """All faces, best first, up to `FOUND_LIMIT`, in pixels of the upright picture. A row keeps the
    first `FACES_LIMIT`; all of them are drawn or hidden.

    `stored` is as decoded, not yet upright; or gives that for a longest side that is needed, and
    may give it reduced.
    """

    def scaled(longest: int) -> Pixels:
        pixels = stored(longest) if callable(stored) else stored
        return upright(scaled_down(pixels, longest), header.orientation)

    found = search(model, scaled, size_of(header), looks_at(header, recipe), recipe.min_score)
    return _faces(found, page)


def _faces(found: Detections, page: int | None) -> tuple[Face, ...]:
    rows = zip(
        found.boxes.round(2).tolist(),
        found.scores.tolist(),
        found.landmarks.round(2).tolist(),
        strict=True,
    )
    return tuple(
        Face(x=x, y=y, w=w, h=h, score=min(1.0, score), landmarks=tuple(landmarks), page=page)
        for (x, y, w, h), score, landmarks in list(rows)[:FOUND_LIMIT]
    )
