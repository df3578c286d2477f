"""What a slot does with one file: bytes in; faces, and a picture that shows them, out."""

from collections.abc import Callable
from dataclasses import replace

from services.detector.decode import decode, reduction
from services.detector.failures import BadPicture
from services.detector.finding import find, looks_at, size_of, told_size
from services.detector.formats.format import Header
from services.detector.header import format_of, header_of, judged
from services.detector.models.model import Model, Pixels
from services.detector.orient import upright
from services.detector.pages import search_pages
from services.detector.processed import Limits, Processed, Shelf, Steps
from services.detector.showing import Shown, copies, copy, keeps_alpha, show, shows
from services.detector.taken import Taken, taken
from services.detector.visible import flattened
from shared.messages import FACES_LIMIT
from shared.recipe import Recipe

__all__ = ["Limits", "Processed", "nothing", "process"]


def nothing() -> None:
    """The default of `process`: nothing follows from a picture being decoded."""


def process(
    content: bytes,
    recipe: Recipe,
    model: Model,
    limits: Limits,
    decoded: Callable[[], None] = nothing,
) -> Processed:
    """Find the faces of one picture or document, and draw on it as the recipe says.

    A bad picture is an answer (`failed`, with the reason), never an exception. `decoded` is called
    when a picture's pixels are there: from then on it can do no harm, and time is bounded. A
    document decodes until it ends, and does not call it.

    Raises:
        MemoryError: this process may not use as much memory as the picture needs.
    """
    steps = Steps()
    header: Header | None = None
    told = Taken()
    try:
        with steps.step("header"):
            found = format_of(content)
            claimed = header_of(found, content)
            pages = found.pages(content, claimed)
            own_sizes = pages is not None and pages.own_sizes
            header = claimed if own_sizes else judged(claimed, limits.max_pixels)
            told = _told(header)
        if pages is None:
            done = _search_picture(content, header, recipe, model, steps, decoded)
        else:
            done = search_pages(pages, header, recipe, model, limits, steps)
        return replace(done, taken=told, cut=found.is_cut(content))
    except BadPicture as bad:
        width, height = told_size(header) if header else (0, 0)
        name = header.format if header else ""
        return Processed(
            "failed",
            str(bad),
            width,
            height,
            name,
            steps_ms=steps.ms,
            code=bad.reason,
            taken=told,
        )


def _told(header: Header) -> Taken:
    """What the file tells of the picture, beside its pixels."""
    turned = header.orientation if header.orientation > 1 else header.turned
    return taken(header.exif).model_copy(update={"orientation": turned})


def _search_picture(
    content: bytes,
    header: Header,
    recipe: Recipe,
    model: Model,
    steps: Steps,
    decoded: Callable[[], None],
) -> Processed:
    with steps.step("decode"):
        stored = _decoded(content, header, recipe)
        seen = {reduced: flattened(pixels) for reduced, pixels in stored.items()}
    decoded()
    with steps.step("detect"):
        faces = find(lambda longest: seen[_reduced(header, recipe, longest)], header, recipe, model)
    shown = Shown()
    if (faces and shows(recipe)) or copies(recipe):
        pixels = upright((stored if keeps_alpha(recipe) else seen)[1], header.orientation)
        del stored, seen
        if faces:
            shown = show(pixels, faces, header, recipe, steps, Shelf())
        else:
            shown = copy(pixels, header, recipe, steps, Shelf())
    width, height = size_of(header)
    return Processed(
        "faces" if faces else "no_faces",
        "",
        width,
        height,
        header.format,
        faces[:FACES_LIMIT],
        shown.annotated,
        shown.crops,
        steps.ms,
        suffix=shown.suffix,
    )


def _decoded(content: bytes, header: Header, recipe: Recipe) -> dict[int, Pixels]:
    """The picture at each reduction that is needed."""
    wanted = looks_at(header, recipe)
    needed = {_reduced(header, recipe, longest) for longest in (wanted.plain.size, wanted.largest)}
    return {reduced: decode(content, header, reduced) for reduced in needed}


def _reduced(header: Header, recipe: Recipe, longest: int) -> int:
    """By how much a picture is reduced while decoding, to be searched at this longest side.

    Where a face is to be shown the whole picture is needed: decoding it once costs less than a
    reduced picture for all and a whole one more for those with faces. The plain search gets the
    same pixels whether it is the only one or not, so that it finds the same.
    """
    plain = looks_at(header, recipe).plain.size
    return 1 if shows(recipe) else reduction(header, max(longest, plain))
