"""Messages about sources: what a submission names, to be expanded into images."""

from enum import StrEnum
from typing import Annotated, ClassVar, Literal, Self

from pydantic import AfterValidator, AliasChoices, Field, model_validator

from shared import fields
from shared.folders.patterns import LONGEST_PATTERN, MOST_PATTERNS, Pattern
from shared.messages.message import Message, Part, Payload, now
from shared.reasons import Reason


def _pattern(text: str) -> str:
    Pattern(text)  # ValueError where it is none
    return text


Patterns = Annotated[
    fields.Several[Annotated[str, Field(max_length=LONGEST_PATTERN), AfterValidator(_pattern)]],
    Field(max_length=MOST_PATTERNS),
]


class InlineImage(Part):
    """A picture whose bytes were sent along with its name."""

    id: fields.Token
    name: fields.Name
    payload: Payload = Field(validation_alias=AliasChoices("payload", "body"))


class SourceKind(StrEnum):
    """How a source reaches ingest; which source reads a reference is for its scheme to say."""

    FILES = "files"
    INLINE = "inline"
    END = "end"


class SourceMessage(Message):
    """One part of a submission, to be expanded into images.

    `files`: what a `uri` names, below an allowed root or bucket. `inline`: pictures sent along.
    `end`: no part follows; `part` is how many there were. A large source goes round the stream
    in steps: each adds the message again with the next `position`, behind what else is waiting.
    """

    stream: ClassVar[str] = "sources"

    kind: SourceKind
    part: fields.Count
    uri: fields.Uri | None = None
    images: Annotated[fields.Several[InlineImage], Field(max_length=500)] = ()
    position: fields.Position = ""
    follow_links: bool = False
    """Go through links to folders, where they lead to what may be read."""
    excluded: Annotated[fields.Several[fields.Uri], Field(max_length=16)] = ()
    exclude: Patterns = ()
    include: Patterns = ()
    """What of a folder or bucket is left out, and what alone is taken: `shared.folders.patterns`,
    on paths relative to `uri`."""
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
    def payloads(self) -> tuple[Payload, ...]:
        return tuple(image.payload for image in self.images)

    @property
    def about(self) -> dict[str, str | int]:
        return {**super().about, "part": self.part}


class SourceFailedMessage(Message):
    """A part of a submission that could not be expanded: its submission ends all the same."""

    stream: ClassVar[str] = "results"

    source_failed: Literal[True] = True
    part: fields.Count
    uri: fields.Uri | None = None
    reason: fields.ShortText
    code: fields.ReasonCode = Reason.SOURCE_REFUSED
