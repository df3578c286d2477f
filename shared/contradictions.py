"""Settings that contradict each other: each may be used, and together they cannot work."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

BYTES_A_PIXEL = 3
"""What a decoded pixel takes at least."""


class Values(Protocol):
    """The settings that are compared here; `shared.settings.Settings` has them all."""

    @property
    def inline_limit_bytes(self) -> int: ...
    @property
    def max_file_bytes(self) -> int: ...
    @property
    def max_pixels(self) -> int: ...
    @property
    def slot_memory_bytes(self) -> int: ...
    @property
    def max_attempts(self) -> int: ...
    @property
    def max_deliveries(self) -> int: ...


@dataclass(frozen=True)
class Contradiction:
    """One combination that cannot work, and what people are told of it."""

    told: str
    found: Callable[[Values], bool]


CONTRADICTIONS = (
    Contradiction(
        "FACES_INLINE_LIMIT_BYTES is more than FACES_MAX_FILE_BYTES: "
        "what may travel through Redis would be refused as too large",
        lambda of: of.inline_limit_bytes > of.max_file_bytes,
    ),
    Contradiction(
        "FACES_MAX_FILE_BYTES is not less than FACES_SLOT_MEMORY_BYTES: "
        "a detector process could not hold such a file",
        lambda of: of.max_file_bytes >= of.slot_memory_bytes,
    ),
    Contradiction(
        "FACES_MAX_PIXELS is too much for FACES_SLOT_MEMORY_BYTES: "
        "a detector process could not hold such a picture, of 3 bytes a pixel",
        lambda of: of.max_pixels * BYTES_A_PIXEL >= of.slot_memory_bytes,
    ),
    Contradiction(
        "FACES_MAX_DELIVERIES is less than FACES_MAX_ATTEMPTS: "
        "an entry would be a dead letter before its last attempt",
        lambda of: of.max_deliveries < of.max_attempts,
    ),
)


def contradictions(settings: Values) -> list[str]:
    """What cannot work, one sentence each."""
    return [one.told for one in CONTRADICTIONS if one.found(settings)]
