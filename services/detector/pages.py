"""Searching a document or an animation: every page, up to caps of number, time and pixels.

A page that fails, fails alone. Only one decoded page is held at a time: what shows its faces is
made while its pixels are there.

The same seam carries a video's clips. A clip is a run of frames that its format's module gives as
`Pages` do: an iterator of `StoredPage`, each decoded on demand, with a presentation time beside its
number. Searching stays this loop, with a tracker in place of `_Findings`, which ties the faces of
one frame to those of the frame before. Drawing becomes a second pass over the same iterator, since
whom to hide is known only when all clips have been searched.
"""

from dataclasses import dataclass, field

from services.detector.failures import BadPicture
from services.detector.finding import find, size_of, told_size
from services.detector.formats.format import Header, Pages, StoredPage
from services.detector.header import judged
from services.detector.models.model import Model
from services.detector.orient import upright
from services.detector.processed import Limits, Processed, Shelf, Steps, TooManyBytes
from services.detector.showing import Shown, copies, copy, keeps_alpha, show, shows
from services.detector.visible import flattened
from shared.messages import FACES_LIMIT, PAGES_LIMIT, Face, Kind, Page
from shared.picture_keys import JPEG
from shared.reasons import Failure, Reason
from shared.recipe import Recipe

LARGEST_PAGES = 40
"""Pixels decoded of one document, in pages of the largest size allowed. By default that is 4.8
gigapixels: 500 sheets of A4 at 300 dots an inch."""

PAGE_REASON_LIMIT = 200
"""Characters of a page's reason: those of 500 pages fit a message."""


@dataclass
class _Findings:
    """What was found so far. A face goes with its crop (`None` where none is asked for)."""

    faces: list[tuple[Face, bytes | None]] = field(default_factory=list)
    annotated: bytes | None = None
    annotated_page: int | None = None
    suffix: str = JPEG
    rest: tuple[Shown, int] | None = None
    """The first page that was searched, and its number, where it has no faces and is wanted."""
    searched: list[Page] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    lacks_memory: bool = False
    shelf: Shelf = field(default_factory=Shelf)

    def drop_rest(self) -> None:
        """Make room: a page with faces is shown instead."""
        if self.rest is not None and self.rest[0].annotated is not None:
            self.shelf.take_back(self.rest[0].annotated)
        self.rest = None

    def add(self, number: int, faces: tuple[Face, ...], shown: Shown) -> None:
        """The faces of one page. The best of all pages are kept."""
        kept = faces[:FACES_LIMIT]
        self.faces += zip(kept, shown.crops or (None,) * len(kept), strict=True)
        self.faces.sort(key=lambda one: -one[0].score)
        del self.faces[FACES_LIMIT:]
        if shown.annotated is not None:
            self.annotated, self.annotated_page = shown.annotated, number
            self.suffix = shown.suffix


def search_pages(
    pages: Pages, first: Header, recipe: Recipe, model: Model, limits: Limits, steps: Steps
) -> Processed:
    """Find the faces of all pages; `first` is the header of the first.

    The annotated picture is of the first page with faces, and where none has any and the recipe
    copies the rest, of the first page; there is a crop of every face.

    Raises:
        TooManyBytes: what shows the faces of all pages is too large together.
        BadPicture: no page can be searched; why the first one cannot.
        MemoryError: no page can be searched, and one needs more memory than there is.
    """
    found = _Findings()
    room = limits.max_pixels * LARGEST_PAGES
    for number, page in enumerate(pages.each(), start=1):
        size: tuple[int, int] | None = None
        reason = ""
        try:
            if isinstance(page, BadPicture):
                raise page
            size = size_of(judged(page.header, limits.max_pixels))
            room -= size[0] * size[1]
            _search_page(number, page, recipe, model, steps, found)
        except TooManyBytes:
            raise  # the fault of all pages together
        except BadPicture as bad:
            found.failures.append(bad.failure)
            reason = str(bad)[:PAGE_REASON_LIMIT]
        except MemoryError:
            found.lacks_memory = True
            reason = Reason.MEMORY.meaning
        width, height = size or (None, None)
        found.searched.append(Page(n=number, width=width, height=height, reason=reason))
        if number == PAGES_LIMIT or room <= 0 or steps.seconds > limits.pages_seconds:
            break
    return _told(found, pages.count, first, steps)


def _search_page(
    number: int, page: StoredPage, recipe: Recipe, model: Model, steps: Steps, found: _Findings
) -> None:
    with steps.step("decode"):
        stored = page.decode()
        seen = flattened(stored)
    with steps.step("detect"):
        faces = find(seen, page.header, recipe, model, number)
    if not faces:
        if copies(recipe) and found.rest is None and found.annotated is None:
            pixels = upright(stored if keeps_alpha(recipe) else seen, page.header.orientation)
            found.rest = copy(pixels, page.header, recipe, steps, found.shelf), number
        return
    found.drop_rest()
    annotates = found.annotated is None
    shown = Shown()
    if recipe.crops or (annotates and shows(recipe)):
        pixels = upright(stored if keeps_alpha(recipe) else seen, page.header.orientation)
        del stored, seen
        shown = show(pixels, faces, page.header, recipe, steps, found.shelf, annotates=annotates)
    found.add(number, faces, shown)


def _told(found: _Findings, count: int, first: Header, steps: Steps) -> Processed:
    if all(page.reason for page in found.searched):
        if found.lacks_memory:
            raise MemoryError("no page can be searched in the memory that there is")
        raise BadPicture(found.failures[0].reason, found.failures[0].sentence)
    width, height = told_size(first)
    if not found.faces and found.rest is not None:
        shown, number = found.rest
        found.add(number, (), shown)
    return Processed(
        "faces" if found.faces else "no_faces",
        "",
        width,
        height,
        first.format,
        tuple(face for face, _ in found.faces),
        found.annotated,
        tuple(crop for _, crop in found.faces if crop is not None),
        steps.ms,
        kind=Kind.DOCUMENT,
        pages=count,
        searched=tuple(found.searched),
        annotated_page=found.annotated_page,
        suffix=found.suffix,
    )
