"""What a slot does not exceed with one picture, what it answers, and what it measures."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Literal

from services.detector.failures import BadPicture
from services.detector.taken import Taken
from shared.messages import Face, Kind, Page
from shared.picture_keys import JPEG
from shared.reasons import Reason

PICTURES_LIMIT_BYTES = 128 << 20
"""The annotated picture and the crops of one input, together: what its parent takes of a child
(`services.detector.pipe.PAYLOAD_LIMIT_BYTES`), and Redis of one result."""


class TooManyBytes(BadPicture):
    """What is to show the faces of an input is larger than `PICTURES_LIMIT_BYTES`."""

    def __init__(self, crops: int) -> None:
        super().__init__(
            Reason.TOO_LARGE,
            f"its annotated picture and the first {crops:,} crops have more than the "
            f"{PICTURES_LIMIT_BYTES:,} bytes that one result may have; run without --crops, with "
            f"a smaller --margin, or with a higher --min-score",
        )


class Shelf:
    """The pictures made of one input, counted as they come, so that none is held beyond the cap."""

    def __init__(self) -> None:
        self._bytes = 0
        self._crops = 0

    def put(self, picture: bytes, *, crop: bool = False) -> bytes:
        """The picture, counted.

        Raises:
            TooManyBytes: those of this input are too large together.
        """
        self._crops += crop
        if self._bytes + len(picture) > PICTURES_LIMIT_BYTES:
            raise TooManyBytes(self._crops)
        self._bytes += len(picture)
        return picture

    def take_back(self, picture: bytes) -> None:
        """Count a picture no longer: another has its place."""
        self._bytes -= len(picture)


@dataclass(frozen=True)
class Limits:
    """What a picture may claim and cost.

    `max_pixels` is width times height of a page. `pages_seconds` is for how long pages are
    searched: no further one is begun after that.
    """

    max_pixels: int
    pages_seconds: float = 30.0


@dataclass(frozen=True)
class Processed:
    """What became of one picture or document.

    Attributes:
        reason, code: why it failed, as a sentence and as a code.
        width, height: in pixels, upright (0 where the header could not be read); of a document,
            those of its first page.
        faces: best first.
        annotated: the picture where something was drawn; of page `annotated_page` in a document.
        suffix: which format `annotated` has (`shared.picture_keys.CONTENT_TYPES`).
        crops: JPEGs, one a face, in the order of `faces`.
        steps_ms: wall time of each step that ran.
        pages: how many pages there are, counted up to `shared.messages.PAGES_COUNTED`.
        searched: the pages of a document that were looked at, in order.
        cut: the file ends before its picture does, and was searched as far as it goes.
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
    code: Reason | None = None
    taken: Taken = field(default_factory=Taken)
    kind: Kind = Kind.PICTURE
    pages: int = 1
    searched: tuple[Page, ...] = ()
    annotated_page: int | None = None
    suffix: str = JPEG
    cut: bool = False


class Steps:
    """A stopwatch for the named steps of one picture."""

    def __init__(self) -> None:
        self.ms: dict[str, float] = {}
        self._began = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the first step could begin."""
        return time.monotonic() - self._began

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Add the time spent inside to the step's."""
        start = time.perf_counter()
        try:
            yield
        finally:
            self.ms[name] = self.ms.get(name, 0.0) + (time.perf_counter() - start) * 1000
