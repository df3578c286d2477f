"""What goes into the catalog and comes out of it, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from shared.catalog.filters import Filter
from shared.errors import FacesError
from shared.messages import Face, Kind, Page, Status
from shared.recipe import Recipe


class Refused(FacesError):
    """The database refuses a value in a batch: a row is at fault, not the server.

    Nothing of the batch was written; the caller halves it until the culprit is alone.
    """


@dataclass(frozen=True)
class QueuedImage:
    """One picture that a source names. `bytes` is its size where that is known."""

    id: str
    name: str
    source_uri: str | None = None
    source_version: str = ""
    bytes: int | None = None


@dataclass(frozen=True)
class PassedOver:
    """How much of one kind was not taken for an input; the first folder of it, where it is one."""

    count: int
    example: str = ""


@dataclass(frozen=True)
class Expansion:
    """One step of expanding a part: at most 500 images, and the positions before and after.

    `next_position` of None says that the part is fully expanded.
    """

    submission: str
    submission_name: str
    submitted_at: datetime
    part: int
    uri: str | None
    recipe: Recipe
    position: str
    next_position: str | None
    images: Sequence[QueuedImage]
    passed_over: Mapping[str, PassedOver] = field(default_factory=dict)


@dataclass(frozen=True)
class Decision:
    """What to do with one image of an expansion: hand it on under this generation, or leave it.

    `image` is the id that it has had from the first, where it was named by another.
    """

    generation: int
    send: bool
    image: str | None = None


@dataclass(frozen=True)
class FailedPart:
    """A part of a submission that could not be expanded."""

    uri: str | None
    reason: str


@dataclass(frozen=True)
class SubmissionStatus:
    """Where a submission stands. All counts are of images, except `faces` and the parts.

    `named` counts the distinct images it has named so far; `skipped` of them had ended before it
    named them. `refused` parts could not be expanded, and `failed_parts` holds the first 100.
    """

    id: str
    name: str
    created_at: datetime
    named: int
    queued: int
    with_faces: int
    no_faces: int
    failed: int
    faces: int
    skipped: int
    parts_open: int
    sealed: bool
    failed_parts: tuple[FailedPart, ...]
    cancelled: bool
    complete: bool
    refused: int = 0
    passed_over: Mapping[str, PassedOver] = field(default_factory=dict)

    @property
    def ended(self) -> int:
        """Images that have ended."""
        return self.with_faces + self.no_faces + self.failed


@dataclass(frozen=True, slots=True)
class Member:
    """An image of a submission; `key` is its place in the order in which they were named."""

    key: int
    id: str
    source_uri: str | None
    status: Status
    annotated_uri: str | None
    recipe: str
    generation: int = 1


@dataclass(frozen=True)
class QueuedRow:
    """A row that is queued: what it takes to hand the image on once more."""

    cursor: int
    image: QueuedImage
    recipe: Recipe
    generation: int
    submission: str
    queued_at: datetime


@dataclass(frozen=True)
class CommitReport:
    """What a commit did.

    `late` results changed nothing; `orphans` are keys of objects that no row names;
    `won_by_status` counts the rows that ended by it. `unknown` are the rows, by (id, recipe), and
    `unknown_submissions` the submissions that there are not: what was said of them was not written.
    """

    late: int = 0
    orphans: tuple[str, ...] = ()
    won_by_status: Mapping[str, int] = field(default_factory=dict)
    unknown: frozenset[tuple[str, str]] = frozenset()
    unknown_submissions: frozenset[str] = frozenset()

    @property
    def won(self) -> int:
        """Rows that ended by this commit."""
        return sum(self.won_by_status.values())


@dataclass(frozen=True)
class ImageRow:
    """One row of the catalog; the fields are the columns of `images`. Times are UTC.

    Attributes:
        cursor: the next page begins behind it.
        reason, code: why it failed, as a sentence and as a `shared.reasons.Reason`.
        taken_at: by the camera's clock, as `ResultMessage.taken_at`; None where it is not known.
        kind: a `shared.messages.Kind`, or one that only a newer program knows.
        pages: how many the file has; `searched`, those of a document that were looked at.
        annotated_page: the page of a document that the annotated picture shows.
        drawing: version of drawing that made the annotated picture.
        orientation: how the file stores its pixels, 1 to 8 as EXIF counts; None where it is not
            known. `width` and `height` are those of the upright picture.
        current: whether this is the row of its source that counts (`shared.catalog.current`); the
            others are of an older version of the file, or of an earlier recipe.
        cut: the file ends before its picture does, and was searched as far as it goes.
    """

    cursor: int
    id: str
    recipe: str
    generation: int
    submission_id: str
    source_uri: str | None
    source_version: str
    name: str
    bytes: int | None
    width: int | None
    height: int | None
    format: str
    status: Status
    face_count: int
    annotated_uri: str | None
    reason: str
    attempts: int
    consumer: str
    queued_at: datetime
    detected_at: datetime | None
    committed_at: datetime | None
    detect_ms: float | None
    code: str | None = None
    taken_at: str | None = None
    camera: str | None = None
    kind: str = Kind.PICTURE.value
    pages: int = 1
    annotated_page: int | None = None
    drawing: int | None = None
    orientation: int | None = None
    current: bool = True
    cut: bool = False
    searched: tuple[Page, ...] = ()
    faces: tuple[Face, ...] = ()


@dataclass(frozen=True)
class ObjectsOfRow:
    """Which objects a row's picture has.

    Attributes:
        generation: of the row.
        awaited: the row is queued; its result may bring any objects.
        annotated_uri: of the annotated picture; None where there is none.
        crops: how many there are at most: one a face.
    """

    generation: int
    awaited: bool
    annotated_uri: str | None
    crops: int


@dataclass(frozen=True)
class Redo:
    """One step of doing images again. `recipe` of None: each under its own, once more.

    The images get a submission of their own, whose status says how far they are.
    """

    submission: str
    submission_name: str
    submitted_at: datetime
    filter: Filter
    recipe: Recipe | None = None
    after: int = 0
    limit: int = 500


@dataclass(frozen=True)
class Requeued:
    """An image to be handed on, under this recipe and generation."""

    image: QueuedImage
    recipe: Recipe
    generation: int


@dataclass(frozen=True)
class RedoStep:
    """What one step of a redo queued; the next begins behind `after`, unless that is None.

    `unreachable` were sent along with their bytes, which nobody kept: only who has them can send
    them again.
    """

    images: tuple[Requeued, ...]
    unreachable: int
    after: int | None


@dataclass(frozen=True)
class Forgotten:
    """An image whose row was deleted."""

    id: str
    recipe: str
    name: str
