"""What the fields of messages may hold: everything is bounded before it is used.

The bounds are those of what comes after: 32 bits for a database's integers, 53 bits for Lua's
numbers, text that fits a column and a log line. Nothing that is measured comes near them.
"""

from datetime import UTC, datetime
from typing import Annotated, TypeVar

from pydantic import AwareDatetime, FailFast, Field, StringConstraints

PAYLOAD_LIMIT_BYTES = 1 << 31
"""Largest size that a payload may claim; 500 of them still add up exactly in Lua."""

NAME_LIMIT = 4096
"""Longest path that Linux takes."""

SHORT_TEXT_LIMIT = 1000
"""Longest sentence: a reason, a submission's name, a consumer's."""

URI_LIMIT = 12_500
"""Longest URI, in characters: a path of 4096 bytes, each of them written out as %XX."""

BYTES_LIMIT = 1 << 53
"""No size reaches this: Lua and JSON count so far exactly."""

COUNT_LIMIT = 1 << 31
"""No count reaches this: the database keeps them in 32 bits."""

T = TypeVar("T")

Several = Annotated[tuple[T, ...], FailFast()]
"""A list, of which only the first mistake is looked for: to report each field that each of 100,000
empty objects lacks took a minute. Its length is bounded where it is used."""

Token = Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{32}$")]
ShortText = Annotated[str, StringConstraints(max_length=SHORT_TEXT_LIMIT)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=NAME_LIMIT)]
Uri = Annotated[str, StringConstraints(min_length=1, max_length=URI_LIMIT)]
Position = Annotated[str, StringConstraints(max_length=URI_LIMIT)]
SourceVersion = Annotated[str, StringConstraints(max_length=200)]
RecipeId = Annotated[str, StringConstraints(pattern=r"^[a-z0-9_]{1,32}-[0-9a-f]{10}$")]
ReasonCode = Annotated[str, StringConstraints(pattern=r"^[a-z_]{1,40}$")]
Camera = Annotated[str, StringConstraints(max_length=200)]
TakenAt = Annotated[
    str,
    StringConstraints(pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d([+-]\d\d:\d\d)?$", max_length=25),
]
FormatName = Annotated[str, StringConstraints(max_length=40)]
ObjectKey = Annotated[
    str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]+(/[A-Za-z0-9_.-]+)*$", max_length=300)
]

Count = Annotated[int, Field(ge=0, lt=COUNT_LIMIT)]
Orientation = Annotated[int, Field(ge=1, le=8)]
PageNumber = Annotated[int, Field(ge=1, lt=COUNT_LIMIT)]
Generation = Annotated[int, Field(ge=1, lt=COUNT_LIMIT)]
Pixels = Annotated[int, Field(ge=1, lt=COUNT_LIMIT)]
Bytes = Annotated[int, Field(ge=0, lt=BYTES_LIMIT)]
PayloadBytes = Annotated[int, Field(ge=0, le=PAYLOAD_LIMIT_BYTES)]
Coordinate = Annotated[float, Field(ge=-1e9, le=1e9, allow_inf_nan=False)]
Milliseconds = Annotated[float, Field(ge=0, le=1e12, allow_inf_nan=False)]
Moment = Annotated[
    AwareDatetime, Field(ge=datetime(1970, 1, 1, tzinfo=UTC), lt=datetime(3000, 1, 1, tzinfo=UTC))
]
