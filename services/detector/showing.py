"""The files that show the faces of one picture: what was drawn, and each face alone."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.detector.draw import crop
from services.detector.encode import encode_jpeg
from services.detector.failures import BadPicture
from services.detector.formats.format import Header
from services.detector.models.model import Pixels
from services.detector.modes import draw, draws
from services.detector.outputs import output_of
from services.detector.processed import Shelf, Steps
from services.detector.visible import flattened, keep_visible
from shared.messages import FACES_LIMIT, Face
from shared.picture_keys import JPEG
from shared.recipe import OutputFormat, Recipe


@dataclass(frozen=True)
class Shown:
    """The annotated picture where something is drawn, in the format that `suffix` names; and the
    crops, JPEGs, one a face."""

    annotated: bytes | None = None
    crops: tuple[bytes, ...] = ()
    suffix: str = JPEG


def shows(recipe: Recipe) -> bool:
    """Whether a recipe asks for any file, so that the whole picture is needed."""
    return draws(recipe) or recipe.crops


def keeps_alpha(recipe: Recipe) -> bool:
    """Whether annotated pictures keep their transparency; else they lie on white."""
    return recipe.format is OutputFormat.SAME and draws(recipe)


def copies(recipe: Recipe) -> bool:
    """Whether a picture without faces gets an output too: encoded anew, with the metadata that the
    recipe keeps, since a file's own bytes carry thumbnails, places and names."""
    return recipe.copy_rest and draws(recipe)


def show(
    pixels: Pixels,
    faces: Sequence[Face],
    header: Header,
    recipe: Recipe,
    steps: Steps,
    shelf: Shelf,
    *,
    annotates: bool = True,
) -> Shown:
    """The files that the recipe asks for. Draws all faces into `pixels`, which are upright, and
    have alpha only where `keeps_alpha`; there are crops of the first `FACES_LIMIT`.

    Crops have no metadata, nor a colour profile: it can be larger than they are.

    Raises:
        TooManyBytes: they are too large together, with what is on the shelf of this input.
        BadPicture: the picture is too long for its format.
        MemoryError: there is not enough memory.
    """
    crops: tuple[bytes, ...] = ()
    if recipe.crops:
        with steps.step("crop"):
            cuts = (crop(pixels, face, recipe.margin) for face in faces[:FACES_LIMIT])
            made = (encode_jpeg(flattened(cut), recipe.jpeg_quality) for cut in cuts)
            crops = tuple(shelf.put(one, crop=True) for one in made)
    if not annotates or not draws(recipe):
        return Shown(None, crops)
    with steps.step("draw"):
        keep_visible(pixels)
        draw(pixels, faces, recipe)
    with steps.step("encode"):
        output = output_of(pixels, header, recipe)
        return Shown(shelf.put(output.encode(pixels, header, recipe)), crops, output.suffix)


def copy(pixels: Pixels, header: Header, recipe: Recipe, steps: Steps, shelf: Shelf) -> Shown:
    """The output of a picture without faces, as `show` makes it: none where the picture is too long
    for its format or too large, since that is no fault of what was asked about it.

    Raises:
        MemoryError: there is not enough memory.
    """
    try:
        return show(pixels, (), header, recipe, steps, shelf)
    except BadPicture:
        return Shown()
