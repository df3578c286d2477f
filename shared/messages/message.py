"""What every message has: its version, its recipe, how it is written and read.

An entry of a stream carries one message as JSON. Pixels travel by reference (a URL that the next
service opens) or in a *payload*, a Redis key of its own that the message names.
"""

import secrets
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, ClassVar, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import to_json

from shared import fields
from shared.errors import InvalidMessage, LeftToOthers
from shared.recipe import Recipe

SCHEMA_VERSION = 3
"""Version written. Raised by whatever changes what a message means, what is found or what is drawn:
a program that knows only the version before leaves such entries to those that know this one.

1: the first. 2: the recipe's id, reasons as codes, pages, when and by which camera it was taken.
3: annotated pictures in other formats than JPEG; erased parts of pictures stay erased.
"""

OLDEST_READ = SCHEMA_VERSION - 1
"""Oldest version read: a rolling upgrade has the last version's entries in its streams."""

MESSAGE_LIMIT_BYTES = 1 << 20
"""Larger messages are refused before they are parsed."""

NEWEST_VERSION = 1000
"""A version beyond this is a mistake, and not a newer program's."""


def new_token() -> str:
    """A random name of 32 hex digits, for submissions, traces and payloads."""
    return secrets.token_hex(16)


def now() -> datetime:
    """The time, aware, in UTC."""
    return datetime.now(UTC)


class Part(BaseModel):
    """A part of a message: frozen; unknown fields of a newer minor writer are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore", validate_by_name=True)


class Payload(Part):
    """Bytes kept in Redis under a key of their own, named by `shared.streams.keys.Keys.payload`."""

    id: fields.Token
    size: fields.PayloadBytes

    @classmethod
    def of(cls, content: bytes) -> Self:
        """A new payload for these bytes, under a random name."""
        return cls(id=new_token(), size=len(content))


class Message(Part):
    """What every message carries. `stream` is where messages of this kind are added.

    `recipe_id` is the recipe's id as its sender computed it. A program that reads another recipe
    out of the same JSON, because it does not know one of its fields, computes another id: it
    leaves the entry to the programs that agree with the sender.
    """

    stream: ClassVar[str]

    v: int = Field(SCHEMA_VERSION, ge=OLDEST_READ, le=SCHEMA_VERSION)
    submission: fields.Token
    trace: fields.Token
    recipe: Recipe
    recipe_id: fields.RecipeId = Field(default_factory=lambda sent: sent["recipe"].id)

    def encode(self) -> bytes:
        """The entry's JSON, UTF-8, without fields that are None."""
        return to_json(self, exclude_none=True)

    @classmethod
    def decode(cls, encoded: bytes) -> Self:
        """Read an entry's JSON.

        Raises:
            InvalidMessage: it is too large, not JSON, or not such a message.
            LeftToOthers: a newer program wrote it, or one that reads its recipe otherwise.
        """
        if len(encoded) > MESSAGE_LIMIT_BYTES:
            raise InvalidMessage(f"message of {len(encoded)} bytes; {MESSAGE_LIMIT_BYTES} allowed")
        try:
            message = cls.model_validate_json(encoded)
        except ValidationError as error:
            _leave_newer(encoded)
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"])) or "message"
            raise InvalidMessage(f"not a {cls.__name__}: {where}: {first['msg']}") from None
        if message.recipe_id != message.recipe.id:
            raise LeftToOthers(
                f"recipe {message.recipe_id}; this program reads {message.recipe.id}"
            )
        # Sent again (a step of a source, a dead letter) it has this version's fields.
        if message.v != SCHEMA_VERSION:
            return message.model_copy(update={"v": SCHEMA_VERSION})
        return message

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy, with other values for some fields (Any: of their own types); with another recipe
        it has that one's id."""
        if update and "recipe" in update:
            update = {"recipe_id": update["recipe"].id, **update}
        return super().model_copy(update=update, deep=deep)

    @property
    def payloads(self) -> tuple[Payload, ...]:
        """The payloads that this message owns; they live as long as its entry."""
        return ()

    @property
    def in_flight(self) -> str:
        """The name of what may be under way once at a time; '' where twins are allowed."""
        return ""

    @property
    def about(self) -> dict[str, str | int]:
        """What it is about, as log lines say it: by ids, never by the name of a file."""
        return {"submission": self.submission}


class _VersionOnly(BaseModel):
    v: int = SCHEMA_VERSION


def _leave_newer(encoded: bytes) -> None:
    try:
        version = _VersionOnly.model_validate_json(encoded).v
    except ValidationError:
        return
    if SCHEMA_VERSION < version <= NEWEST_VERSION:
        raise LeftToOthers(f"message version {version}; this program reads {SCHEMA_VERSION}")
