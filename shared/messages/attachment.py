"""What rides in a payload beside a result, since it could outgrow a message.

Each kind is one entry here: its name, how its values become bytes, and how they are read again.
A message stays below 1 MiB however many faces there are.
"""

from collections.abc import Sequence
from enum import StrEnum
from typing import Self

from pydantic import TypeAdapter, ValidationError, model_validator
from pydantic_core import to_json

from shared import fields
from shared.errors import InvalidMessage
from shared.messages.face import FACES_LIMIT, Face
from shared.messages.message import Part, Payload

FACES_IN_MESSAGE = 250
"""More faces than these are attached: a message of so many has about 50 kB."""


ATTACHMENT_LIMIT_BYTES = 2 << 20
"""Most bytes of an attachment: as many faces as there may be have half of that."""


class AttachmentKind(StrEnum):
    """What an attachment holds."""

    FACES = "faces"


class Attachment(Part):
    """A payload that belongs to the message beside it, and what it holds."""

    kind: AttachmentKind
    payload: Payload

    @model_validator(mode="after")
    def _is_bounded(self) -> Self:
        if self.payload.size > ATTACHMENT_LIMIT_BYTES:
            raise ValueError(f"an attachment has {ATTACHMENT_LIMIT_BYTES} bytes at most")
        return self


_FACES = TypeAdapter(fields.Several[Face])


def pack_faces(faces: Sequence[Face]) -> bytes:
    """Faces as JSON, UTF-8."""
    return to_json(list(faces), exclude_none=True)


def unpack_faces(content: bytes) -> tuple[Face, ...]:
    """Faces from `pack_faces`.

    Raises:
        InvalidMessage: these are none, or too many.
    """
    try:
        faces = _FACES.validate_json(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise InvalidMessage(f"attached faces: {first['msg']}") from None
    if not 0 < len(faces) <= FACES_LIMIT:
        raise InvalidMessage(f"attached faces: {len(faces)}; 1 to {FACES_LIMIT} allowed")
    return faces
