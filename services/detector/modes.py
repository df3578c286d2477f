"""What each mode of a recipe does where a face was found: one entry a mode.

A mode that hides (`Mode.hides`) also decides which metadata a picture keeps: see
`services.detector.metadata`.
"""

from collections.abc import Callable, Sequence

from services.detector.draw import draw_boxes, draw_labels
from services.detector.hide import Paint, blurred, hide, pixelated, solid
from services.detector.models.model import Pixels
from shared.messages import Face
from shared.recipe import Mode, Recipe

Draw = Callable[[Pixels, Sequence[Face], Recipe], None]
"""How a mode draws on the faces, into the picture."""


def _boxes(pixels: Pixels, faces: Sequence[Face], _: Recipe) -> None:
    draw_boxes(pixels, faces)


def _hiding(paint: Paint) -> Draw:
    def draw(pixels: Pixels, faces: Sequence[Face], recipe: Recipe) -> None:
        hide(pixels, faces, paint, recipe.margin, recipe.strength, recipe.shape)

    return draw


DRAWINGS: dict[Mode, Draw | None] = {
    Mode.BOX: _boxes,
    Mode.BLUR: _hiding(blurred),
    Mode.PIXELATE: _hiding(pixelated),
    Mode.SOLID: _hiding(solid),
    Mode.NONE: None,
}
"""None where nothing is drawn, so that there is no annotated picture."""


def draws(recipe: Recipe) -> bool:
    """Whether a recipe gives an annotated picture."""
    return DRAWINGS[recipe.mode] is not None


def draw(pixels: Pixels, faces: Sequence[Face], recipe: Recipe) -> None:
    """Draw on (or hide) every face as the recipe says, into the picture."""
    if (drawn := DRAWINGS[recipe.mode]) is not None:
        drawn(pixels, faces, recipe)
    if recipe.labels:
        draw_labels(pixels, faces)
