"""The messages between services: small, versioned, validated, and only data.

An entry of a stream carries one of these as JSON. Pixels travel by reference (a URL that the next
service opens) or in a *body*, a Redis key of its own that the message names.
"""

import secrets
from datetime import UTC, datetime
from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from pydantic_core import to_json

from shared import fields
from shared.errors import InvalidMessage, NewerMessage
from shared.recipe import Recipe

SCHEMA_VERSION = 1
"""Version written."""

OLDEST_READ = 1
"""Oldest version read: from version 2 on, the one before the version written."""

PAYLOAD_LIMIT_BYTES = 1 << 20
"""Larger payloads are refused before they are parsed."""

NEWEST_VERSION = 1000
"""A version beyond this is a mistake, and not a newer program's."""

FACES_LIMIT = 2000
"""Most faces kept of one picture, best first; the largest crowd labelled in WIDER has 1,968."""


def new_token() -> str:
    """A random name of 32 hex digits, for submissions, traces and bodies."""
    return secrets.token_hex(16)


def now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)


class Status(StrEnum):
    """Where an image stands: every one ends as one of the last three."""

    QUEUED = "queued"
    FACES = "faces"
    NO_FACES = "no_faces"
    FAILED = "failed"


class _Part(BaseModel):
    """A part of a message: frozen; unknown fields of a newer minor writer are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Body(_Part):
    """Bytes kept in Redis under a key of their own: `{prefix}:body:<id>`."""

    id: fields.Token
    size: fields.BodyBytes

    @classmethod
    def of(cls, payload: bytes) -> Self:
        """A new body for these bytes, under a random name."""
        return cls(id=new_token(), size=len(payload))


class InlineImage(_Part):
    """A picture whose bytes were sent along with its name."""

    id: fields.Token
    name: fields.Name
    body: Body


class Face(_Part):
    """One face, in pixels of the upright picture, origin top left.

    `landmarks` are right eye, left eye, nose, right and left corner of the mouth (of the person),
    as x, y pairs; a model without landmarks gives none.
    """

    x: fields.Coordinate
    y: fields.Coordinate
    w: fields.Coordinate
    h: fields.Coordinate
    score: float = Field(ge=0, le=1)
    landmarks: Annotated[tuple[fields.Coordinate, ...], Field(max_length=10)] = ()


class Message(_Part):
    """What every entry carries. `stream` is where messages of this kind are added."""

    stream: ClassVar[str]

    v: int = Field(SCHEMA_VERSION, ge=OLDEST_READ, le=SCHEMA_VERSION)
    submission: fields.Token
    trace: fields.Token
    recipe: Recipe

    def encode(self) -> bytes:
        """The entry's payload: JSON, UTF-8, without fields that are None."""
        return to_json(self, exclude_none=True)

    @classmethod
    def decode(cls, payload: bytes) -> Self:
        """Read a payload.

        Raises:
            InvalidMessage: it is too large, not JSON, or not such a message.
            NewerMessage: its version is newer than this program's.
        """
        if len(payload) > PAYLOAD_LIMIT_BYTES:
            raise InvalidMessage(f"message of {len(payload)} bytes; {PAYLOAD_LIMIT_BYTES} allowed")
        try:
            return cls.model_validate_json(payload)
        except ValidationError as error:
            _refuse_newer(payload)
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"])) or "message"
            raise InvalidMessage(f"not a {cls.__name__}: {where}: {first['msg']}") from None

    @property
    def bodies(self) -> tuple[Body, ...]:
        """The bodies this message owns; they live as long as its entry."""
        return ()

    @property
    def flight(self) -> str:
        """What is unique among messages under way: '' where twins are allowed."""
        return ""


class _VersionOnly(BaseModel):
    v: int = SCHEMA_VERSION


def _refuse_newer(payload: bytes) -> None:
    try:
        version = _VersionOnly.model_validate_json(payload).v
    except ValidationError:
        return
    if SCHEMA_VERSION < version <= NEWEST_VERSION:
        raise NewerMessage(f"message version {version}; this program reads {SCHEMA_VERSION}")


class SourceKind(StrEnum):
    """What a source is; each kind that is opened has a module in `services/ingest/sources`."""

    FILES = "files"
    INLINE = "inline"
    END = "end"


class SourceMessage(Message):
    """One part of a submission, to be expanded into images.

    `files`: a file or folder below an allowed root, by `uri`. `inline`: pictures sent along.
    `end`: no part follows; `part` is how many there were. A large source goes round the stream
    in steps: each re-adds the message with the next `position`, behind what else is waiting.
    """

    stream: ClassVar[str] = "sources"

    kind: SourceKind
    part: fields.Count
    uri: fields.Uri | None = None
    images: Annotated[tuple[InlineImage, ...], Field(max_length=500)] = ()
    position: fields.Position = ""
    excluded: Annotated[tuple[fields.Uri, ...], Field(max_length=16)] = ()
    submission_name: fields.ShortText = ""
    submitted_at: fields.Moment = Field(default_factory=now)

    @model_validator(mode="after")
    def _kind_has_its_fields(self) -> Self:
        if self.kind is SourceKind.FILES and self.uri is None:
            raise ValueError("a files source needs a uri")
        if self.kind is SourceKind.INLINE and not self.images:
            raise ValueError("an inline source needs images")
        return self

    @property
    def bodies(self) -> tuple[Body, ...]:
        return tuple(image.body for image in self.images)


class _OfOneImage(Message):
    """Fields shared by the messages about one image; (id, recipe.id) is the key of its row."""

    id: fields.Token
    generation: fields.Generation = 1
    name: fields.Name
    source_uri: fields.Uri | None = None
    queued_at: fields.Moment = Field(default_factory=now)

    @property
    def flight(self) -> str:
        return f"{self.id}:{self.recipe.id}:{self.generation}"

    @property
    def object_key(self) -> str:
        """Key of the annotated picture in the object store."""
        return f"{self.recipe.id}/{self.id}.jpg"


class ImageMessage(_OfOneImage):
    """One picture to be searched, by reference (`source_uri`, `source_version`) or inline."""

    stream: ClassVar[str] = "images"

    source_version: fields.SourceVersion = ""
    body: Body | None = None

    @model_validator(mode="after")
    def _has_pixels(self) -> Self:
        if (self.source_uri is None) == (self.body is None):
            raise ValueError("an image has either a source_uri or a body")
        return self

    @property
    def bodies(self) -> tuple[Body, ...]:
        return (self.body,) if self.body else ()


class ResultMessage(_OfOneImage):
    """What became of one picture. `annotated` is its object, in the store or still in `body`."""

    stream: ClassVar[str] = "results"

    status: Literal[Status.FACES, Status.NO_FACES, Status.FAILED]
    reason: fields.ShortText = ""
    bytes: fields.Bytes | None = None
    width: fields.Pixels | None = None
    height: fields.Pixels | None = None
    format: fields.FormatName = ""
    faces: Annotated[tuple[Face, ...], Field(max_length=FACES_LIMIT)] = ()
    annotated: fields.ObjectKey | None = None
    crops: Annotated[tuple[fields.ObjectKey, ...], Field(max_length=FACES_LIMIT)] = ()
    body: Body | None = None
    crop_bodies: Annotated[tuple[Body, ...], Field(max_length=FACES_LIMIT)] = ()
    consumer: fields.ShortText = ""
    attempts: fields.Count = 1
    detected_at: fields.Moment = Field(default_factory=now)
    detect_ms: fields.Milliseconds | None = None

    @model_validator(mode="after")
    def _agrees_with_itself(self) -> Self:
        if (self.status is Status.FACES) != bool(self.faces):
            raise ValueError("status and faces do not agree")
        if (self.status is Status.FAILED) != bool(self.reason):
            raise ValueError("a failed result, and only that, has a reason")
        # Its own objects and no other's: else one result could overwrite what another row names.
        stem = self.object_key.removesuffix(".jpg")
        if self.annotated not in (None, self.object_key):
            raise ValueError("the annotated picture is not under the key of its image")
        if any(not key.startswith((f"{stem}-", f"{stem}/")) or ".." in key for key in self.crops):
            raise ValueError("a crop is not under the key of its image")
        return self

    @property
    def bodies(self) -> tuple[Body, ...]:
        own = (self.body,) if self.body else ()
        return own + self.crop_bodies


class SourceFailedMessage(Message):
    """A part of a submission that could not be expanded: its submission ends all the same."""

    stream: ClassVar[str] = "results"

    source_failed: Literal[True] = True
    part: fields.Count
    uri: fields.Uri | None = None
    reason: fields.ShortText


def decode_result(payload: bytes) -> ResultMessage | SourceFailedMessage:
    """Read what the results stream carries; errors as `Message.decode`."""
    if b'"source_failed":true' in payload[:4096]:
        return SourceFailedMessage.decode(payload)
    return ResultMessage.decode(payload)
