"""Messages about one image: to be searched, and what became of it."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Protocol, Self, TypedDict

from pydantic import AliasChoices, Field, model_validator

from shared import fields
from shared.messages.attachment import Attachment, AttachmentKind
from shared.messages.face import FACES_LIMIT, Face, Page
from shared.messages.message import Message, Payload, new_token, now
from shared.picture_keys import PictureKeys
from shared.reasons import Failure, Reason
from shared.recipe import Recipe

PAGES_LIMIT = 500
"""Most pages of one input that are searched, and told of in its result."""

RESULT_PAYLOADS_BYTES = 256 << 20
"""Most bytes that the payloads of one result have together: twice what its pictures may."""

PAGES_COUNTED = 100_000
"""An input with so many pages has so many or more: they are counted no further."""


class Status(StrEnum):
    """Where an image stands: every one ends as one of the last three."""

    QUEUED = "queued"
    FACES = "faces"
    NO_FACES = "no_faces"
    FAILED = "failed"


class Kind(StrEnum):
    """What an input is: one picture, or a document (or animation) of several pages."""

    PICTURE = "picture"
    DOCUMENT = "document"


class NamedImage(Protocol):
    """What names a picture, such as a row of the catalog (`shared.catalog.QueuedImage`)."""

    @property
    def id(self) -> str:
        """Its identity: `shared.identity`."""
        ...

    @property
    def name(self) -> str:
        """Its name for people."""
        ...

    @property
    def source_uri(self) -> str | None:
        """Where it is; None where its bytes were sent along."""
        ...

    @property
    def source_version(self) -> str:
        """Which version of it is meant; '' for any."""
        ...


class Subject(TypedDict):
    """Which image a message is about: the fields that every message about one image has."""

    submission: str
    trace: str
    recipe: Recipe
    id: str
    generation: int
    name: str
    source_uri: str | None
    queued_at: datetime


def subject_of(
    image: NamedImage,
    *,
    submission: str,
    recipe: Recipe,
    generation: int,
    trace: str | None = None,
    queued_at: datetime | None = None,
) -> Subject:
    """The subject of messages about an image; a new trace, queued now, unless told otherwise."""
    return Subject(
        submission=submission,
        trace=trace or new_token(),
        recipe=recipe,
        id=image.id,
        generation=generation,
        name=image.name,
        source_uri=image.source_uri,
        queued_at=queued_at or now(),
    )


class _OfOneImage(Message):
    """A message about one image; (id, recipe.id) is the key of its row."""

    id: fields.Token
    generation: fields.Generation = 1
    name: fields.Name
    source_uri: fields.Uri | None = None
    queued_at: fields.Moment = Field(default_factory=now)

    @property
    def in_flight(self) -> str:
        return f"{self.id}:{self.recipe_id}:{self.generation}"

    @property
    def about(self) -> dict[str, str | int]:
        return {**super().about, "image": self.id}

    @property
    def subject(self) -> Subject:
        """Which image this is about: what a message that follows this one begins with."""
        return Subject(
            submission=self.submission,
            trace=self.trace,
            recipe=self.recipe,
            id=self.id,
            generation=self.generation,
            name=self.name,
            source_uri=self.source_uri,
            queued_at=self.queued_at,
        )

    @property
    def keys(self) -> PictureKeys:
        """The keys of its objects in the store."""
        return PictureKeys(self.recipe_id, self.id)


class ImageMessage(_OfOneImage):
    """One picture to be searched, by reference (`source_uri`, `source_version`) or inline.

    Made by `of` from what names the picture.
    """

    stream: ClassVar[str] = "images"

    source_version: fields.SourceVersion = ""
    payload: Payload | None = Field(None, validation_alias=AliasChoices("payload", "body"))

    @classmethod
    def of(
        cls,
        image: NamedImage,
        *,
        submission: str,
        recipe: Recipe,
        generation: int,
        payload: Payload | None = None,
        trace: str | None = None,
        queued_at: datetime | None = None,
    ) -> Self:
        """The message that hands an image on; `payload` holds its bytes where it has no URI."""
        subject = subject_of(
            image,
            submission=submission,
            recipe=recipe,
            generation=generation,
            trace=trace,
            queued_at=queued_at,
        )
        return cls(**subject, source_version=image.source_version, payload=payload)

    @model_validator(mode="after")
    def _has_pixels(self) -> Self:
        if (self.source_uri is None) == (self.payload is None):
            raise ValueError("an image has either a source_uri or a payload")
        return self

    @property
    def payloads(self) -> tuple[Payload, ...]:
        return (self.payload,) if self.payload else ()


class ResultMessage(_OfOneImage):
    """What became of one picture.

    Made as `ResultMessage(**message.subject, status=...)`, or by `failed`.

    Attributes:
        reason, code: why it failed, as a sentence and as a `shared.reasons.Reason`.
        pages: how many pages the file has; `searched`, those that were looked at, in order. A
            picture has one page and no `searched`.
        cut: the file ends before its picture does, and was searched as far as it goes.
        width, height: in pixels, upright; of a document, those of its first page.
        faces: best first. Many of them travel as an attachment instead: see `attachment`.
        annotated: key of the picture that shows the faces, of page `annotated_page`; its bytes
            are in the store, or still in `payload`.
        drawing: version of drawing (`shared.recipe.DRAWING_VERSION`) that made `annotated`.
        taken_at: when it was taken by the camera's clock: `2019-06-01T12:00:00`, with the offset
            from UTC (`+02:00`) where the camera told it.
        orientation: how the file stores its pixels, as EXIF counts it (1 is upright); None where
            the file was not read, or by a program that told none.
    """

    stream: ClassVar[str] = "results"

    status: Literal[Status.FACES, Status.NO_FACES, Status.FAILED]
    reason: fields.ShortText = ""
    code: fields.ReasonCode | None = None
    bytes: fields.Bytes | None = None
    width: fields.Pixels | None = None
    height: fields.Pixels | None = None
    format: fields.FormatName = ""
    taken_at: fields.TakenAt | None = None
    camera: fields.Camera = ""
    orientation: fields.Orientation | None = None
    kind: Kind = Kind.PICTURE
    pages: fields.Count = 1
    searched: Annotated[fields.Several[Page], Field(max_length=PAGES_LIMIT)] = ()
    cut: bool = False
    faces: Annotated[fields.Several[Face], Field(max_length=FACES_LIMIT)] = ()
    annotated: fields.ObjectKey | None = None
    annotated_page: fields.PageNumber | None = None
    drawing: fields.Count | None = None
    crops: Annotated[fields.Several[fields.ObjectKey], Field(max_length=FACES_LIMIT)] = ()
    payload: Payload | None = Field(None, validation_alias=AliasChoices("payload", "body"))
    crop_payloads: Annotated[fields.Several[Payload], Field(max_length=FACES_LIMIT)] = Field(
        (), validation_alias=AliasChoices("crop_payloads", "crop_bodies")
    )
    attachments: Annotated[fields.Several[Attachment], Field(max_length=len(AttachmentKind))] = ()
    consumer: fields.ShortText = ""
    attempts: fields.Count = 1
    detected_at: fields.Moment = Field(default_factory=now)
    detect_ms: fields.Milliseconds | None = None

    @classmethod
    def failed(
        cls,
        subject: Subject,
        failure: Failure,
        *,
        attempts: int = 0,
        consumer: str = "",
        detected_at: datetime | None = None,
    ) -> Self:
        """The failed end of an image; a sentence that is too long is cut."""
        return cls(
            **subject,
            status=Status.FAILED,
            reason=failure.sentence[: fields.SHORT_TEXT_LIMIT],
            code=failure.reason,
            attempts=attempts,
            consumer=consumer,
            detected_at=detected_at or now(),
        )

    def as_failed(self, failure: Failure) -> "ResultMessage":
        """This image's failed end instead: without faces, objects and payloads."""
        return ResultMessage.failed(
            self.subject,
            failure,
            attempts=self.attempts,
            consumer=self.consumer,
            detected_at=self.detected_at,
        )

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        attached = any(one.kind is AttachmentKind.FACES for one in self.attachments)
        if attached and self.faces:
            raise ValueError("faces are in the message or attached, and not both")
        if (self.status is Status.FACES) != (bool(self.faces) or attached):
            raise ValueError("status and faces do not agree")
        if (self.status is Status.FAILED) != bool(self.reason):
            raise ValueError("a failed result, and only that, has a reason")
        # Its own objects and no other's: else one result could overwrite what another row names.
        if self.annotated is not None and self.annotated not in self.keys.all_annotated:
            raise ValueError("the annotated picture is not under the key of its image")
        if not all(self.keys.is_crop(key) for key in self.crops):
            raise ValueError("a crop is not under the key of its image")
        if sum(payload.size for payload in self.payloads) > RESULT_PAYLOADS_BYTES:
            raise ValueError(f"its payloads have more than {RESULT_PAYLOADS_BYTES} bytes together")
        return self

    @property
    def failure(self) -> Reason | None:
        """Why it failed, where this program knows the code (version 1 has none)."""
        return Reason.of(self.code, self.reason) if self.status is Status.FAILED else None

    @property
    def payloads(self) -> tuple[Payload, ...]:
        own = (self.payload,) if self.payload else ()
        return own + self.crop_payloads + tuple(one.payload for one in self.attachments)
