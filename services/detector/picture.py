"""What a slot does with one picture: bytes in; faces, and a picture that shows them, out."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from services.detector.decode import decode, reduction
from services.detector.draw import crop, draw
from services.detector.encode import encode_jpeg
from services.detector.header import BadPicture, Header, read_header
from services.detector.metadata import kept_exif, kept_icc
from services.detector.models.model import Detections, Model, Pixels
from services.detector.orient import upright, upright_size
from services.detector.search import scaled_down, search, sizes
from shared.messages import FACES_LIMIT, Face
from shared.recipe import Mode, Recipe


@dataclass(frozen=True)
class Limits:
    """What a picture may claim: `max_pixels` is width times height."""

    max_pixels: int


@dataclass(frozen=True)
class Processed:
    """What became of one picture.

    `width` and `height` are of the upright picture (0 where the header could not be read);
    `annotated` is a JPEG where something was drawn; `crops` are JPEGs, one a face, in the order
    of `faces`; `steps_ms` is the wall time of each step that ran.
    """

    status: Literal["faces", "no_faces", "failed"]
    reason: str = ""
    width: int = 0
    height: int = 0
    format: str = ""
    faces: tuple[Face, ...] = ()
    annotated: bytes | None = None
    crops: tuple[bytes, ...] = ()
    steps_ms: dict[str, float] = field(default_factory=dict)


class Steps:
    """A stopwatch for the named steps of one picture."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the time spent inside to the step's."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.ms[name] = self.ms.get(name, 0.0) + (time.perf_counter() - start) * 1000


def nothing() -> None:
    """Done where nobody wants to know that a picture is decoded."""


def process(
    content: bytes,
    recipe: Recipe,
    model: Model,
    limits: Limits,
    decoded: Callable[[], None] = nothing,
) -> Processed:
    """Find the faces of one picture, and draw on it as the recipe says.

    A bad picture is an answer (`failed`, with the reason), never an exception. `decoded` is called
    when its pixels are there: from then on the picture can do no harm, and time is bounded.

    Raises:
        MemoryError: this process may not use as much memory as the picture needs.
    """
    steps = Steps()
    header: Header | None = None
    try:
        with steps.step("header"):
            header = read_header(content, limits.max_pixels)
        return _searched(content, header, recipe, model, steps, decoded)
    except BadPicture as bad:
        width, height, name = 0, 0, ""
        if header is not None:
            width, height = upright_size(header.width, header.height, header.orientation)
            name = header.format
        return Processed("failed", str(bad), width, height, name, steps_ms=steps.ms)


def _searched(
    content: bytes,
    header: Header,
    recipe: Recipe,
    model: Model,
    steps: Steps,
    decoded: Callable[[], None],
) -> Processed:
    size = upright_size(header.width, header.height, header.orientation)
    wanted = sizes(recipe.detect_size, recipe.accurate, max(size))
    shows = recipe.mode is not Mode.NONE or recipe.crops
    with steps.step("decode"):
        # Where a face is to be shown the whole picture is needed: decoding it once costs less
        # than a reduced picture for all and a whole one more for those with faces.
        stored = decode(content, header, 1 if shows else reduction(header, wanted[-1]))
    decoded()
    with steps.step("detect"):
        found = search(
            model,
            upright(scaled_down(stored, wanted[-1]), header.orientation),
            size,
            wanted,
            accurate=recipe.accurate,
            min_score=recipe.min_score,
        )
    faces = _faces(found)
    if not faces:
        return Processed("no_faces", "", *size, header.format, steps_ms=steps.ms)
    annotated: bytes | None = None
    crops: tuple[bytes, ...] = ()
    if shows:
        picture = upright(stored, header.orientation)
        del stored
        annotated, crops = _shown(picture, faces, header, recipe, steps)
    return Processed("faces", "", *size, header.format, faces, annotated, crops, steps.ms)


def _shown(
    picture: Pixels, faces: tuple[Face, ...], header: Header, recipe: Recipe, steps: Steps
) -> tuple[bytes | None, tuple[bytes, ...]]:
    """The annotated picture and the crops, as the recipe asks for them."""
    icc = kept_icc(header)
    crops: tuple[bytes, ...] = ()
    if recipe.crops:
        with steps.step("crop"):
            cuts = (crop(picture, face, recipe.margin) for face in faces)
            crops = tuple(encode_jpeg(cut, recipe.jpeg_quality, icc=icc) for cut in cuts)
    if recipe.mode is Mode.NONE:
        return None, crops
    with steps.step("draw"):
        draw(picture, faces, recipe)
    with steps.step("encode"):
        exif = kept_exif(header, recipe)
        return encode_jpeg(picture, recipe.jpeg_quality, exif, icc), crops


def _faces(found: Detections) -> tuple[Face, ...]:
    rows = zip(
        found.boxes.round(2).tolist(),
        found.scores.tolist(),
        found.landmarks.round(2).tolist(),
        strict=True,
    )
    return tuple(
        Face(x=x, y=y, w=w, h=h, score=min(1.0, score), landmarks=tuple(landmarks))
        for (x, y, w, h), score, landmarks in list(rows)[:FACES_LIMIT]
    )
