"""What goes into the catalog and comes out of it, as plain values."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from shared.errors import FacesError
from shared.messages import Face, Kind, Page, Status
from shared.reasons import Reason
from shared.recipe import Recipe

CANCELLED = Reason.CANCELLED.meaning
PICTURE_LOST = Reason.PICTURE_LOST.meaning


class Refused(FacesError):
    """The database refuses a batch for what is in it: some row of it, not the server, is at fault.

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
class Step:
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


@dataclass(frozen=True)
class Decision:
    """What to do with one image of a step: hand it on under this generation, or leave it."""

    generation: int
    send: bool


@dataclass(frozen=True)
class FailedPart:
    """A part of a submission that could not be expanded."""

    uri: str | None
    reason: str


@dataclass(frozen=True)
class Progress:
    """Where a submission stands. All counts are of images, but `faces` and the parts.

    `named` is how many distinct images it has named so far; `skipped` of them had already ended
    when it named them. `failed_parts` holds the first 100.
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

    @property
    def ended(self) -> int:
        """Images that have their end."""
        return self.with_faces + self.no_faces + self.failed


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
    """What a commit did: rows that ended by it, results that came too late, unnamed objects."""

    late: int = 0
    orphans: tuple[str, ...] = ()
    won_by_status: Mapping[str, int] = field(default_factory=dict)

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
    searched: tuple[Page, ...] = ()
    faces: tuple[Face, ...] = ()
