"""The faces of pixels that are decoded already."""

from services.detector.formats.format import Header
from services.detector.models.model import Detections, Model, Pixels
from services.detector.orient import upright, upright_size
from services.detector.search import scaled_down, search, sizes
from shared.fields import COUNT_LIMIT
from shared.messages import FACES_LIMIT, Face
from shared.recipe import Recipe


def size_of(header: Header) -> tuple[int, int]:
    """Width and height, upright."""
    return upright_size(header.width, header.height, header.orientation)


def told_size(header: Header) -> tuple[int, int]:
    """The same for rows, also of what no decoder takes: 0 and 0 where a side is longer than a row
    can hold. (A TIFF may claim 64 bits of it.)"""
    size = size_of(header)
    return size if max(size) < COUNT_LIMIT and min(size) >= 0 else (0, 0)


def searched_sizes(header: Header, recipe: Recipe) -> tuple[int, ...]:
    """The longest sides that a picture is searched at, in pixels; largest last."""
    return sizes(recipe.detect_size, recipe.accurate, max(size_of(header)))


def find(
    stored: Pixels, header: Header, recipe: Recipe, model: Model, page: int | None = None
) -> tuple[Face, ...]:
    """The faces, best first, at most `FACES_LIMIT`, in pixels of the upright picture.

    `stored` is as decoded, not yet upright, and may be reduced.
    """
    wanted = searched_sizes(header, recipe)
    found = search(
        model,
        upright(scaled_down(stored, wanted[-1]), header.orientation),
        size_of(header),
        wanted,
        accurate=recipe.accurate,
        min_score=recipe.min_score,
    )
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
        for (x, y, w, h), score, landmarks in list(rows)[:FACES_LIMIT]
    )
