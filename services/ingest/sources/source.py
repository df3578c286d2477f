"""What every kind of source does: name its next images, a step at a time."""

from dataclasses import dataclass
from typing import Protocol

from shared.messages import Payload, SourceMessage

STEP = 250
"""Images found in one step at most: one hand-off adds them, in about 3 ms of Redis' time."""


class SourceRefused(Exception):
    """The source cannot be expanded, and trying again will not help; its text says why."""


@dataclass(frozen=True)
class FoundImage:
    """One image that a source names.

    `problem` says why it cannot be read, where that is known already; it then gets a failed row.
    """

    id: str
    name: str
    uri: str | None = None
    version: str = ""
    size: int | None = None
    payload: Payload | None = None
    problem: str = ""


@dataclass(frozen=True)
class Step:
    """The images of one step, and where the next begins; None when there is none."""

    images: tuple[FoundImage, ...]
    next_position: str | None


class Source(Protocol):
    """One kind of source."""

    async def step(self, message: SourceMessage) -> Step:
        """The images from `message.position` on.

        Raises:
            SourceRefused: it can never be expanded.
            Unreachable: what holds it is away; it is asked again.
        """
