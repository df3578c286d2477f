"""What every kind of source does: name its next images, a step at a time."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Protocol

from shared.catalog import PassedOver, QueuedImage
from shared.errors import Unreachable
from shared.messages import Payload, SourceMessage
from shared.reasons import Failure, Reason
from shared.references import Scheme, is_allowed
from shared.streams.away import Ask

STEP = 250
"""Images found in one step at most: one hand-off adds them, in about 3 ms of Redis' time."""


class SourceRefused(Exception):
    """The source cannot be expanded, and trying again will not help; its text says why."""

    def __init__(self, reason: Reason, sentence: str) -> None:
        super().__init__(sentence)
        self.failure = Failure(reason, sentence)


class SourceAway(Unreachable):
    """What holds the source does not answer now.

    Attributes:
        key: what that is: a bucket, a folder that is not mounted.
        ask: whether it answers again; raises Unreachable while it does not.
    """

    def __init__(self, key: str, reason: str, ask: Ask) -> None:
        super().__init__(reason)
        self.key = key
        self.ask = ask


@dataclass(frozen=True)
class FoundImage(QueuedImage):
    """One image that a source names, as the ledger takes it.

    Attributes:
        payload: its bytes, where they were sent along.
        problem: why it cannot be read, where that is known already; it then gets a failed row.
    """

    payload: Payload | None = None
    problem: Failure | None = None


@dataclass(frozen=True)
class Listing:
    """The images of one step, and where the next step begins; None after the last.

    `passed_over`: what this step came by and did not take, by its kind.
    """

    images: Sequence[FoundImage]
    next_position: str | None
    passed_over: Mapping[str, PassedOver] = field(default_factory=dict)


class Source(Protocol):
    """One kind of source."""

    def needs(self, message: SourceMessage) -> str:
        """What holds the source and may be away; '' where nothing can, or it is not allowed."""
        ...

    async def step(self, message: SourceMessage) -> Listing:
        """The images from `message.position` on, at most `STEP` of them.

        Raises:
            SourceRefused: it can never be expanded.
            SourceAway: what holds it does not answer; the same step is asked for again.
        """
        ...


class ReferenceSource(ABC):
    """A kind of source that is named by a URI of its scheme, below its allow-list."""

    scheme: ClassVar[Scheme]

    def __init__(self, allowed: Sequence[str]) -> None:
        """`allowed` are URIs: nothing outside of them is listed."""
        self._allowed = tuple(allowed)

    @abstractmethod
    def needs(self, message: SourceMessage) -> str:
        """As `Source.needs`."""

    @abstractmethod
    async def step(self, message: SourceMessage) -> Listing:
        """As `Source.step`."""

    def check_allowed(self, uri: str, shown: str) -> None:
        """See that a URI, in which links are resolved, is below the allow-list.

        Raises:
            SourceRefused: it is not; `shown` is what people know it by.
        """
        if not is_allowed(uri, self._allowed):
            raise SourceRefused(Reason.NOT_ALLOWED, self.scheme.outside(shown))
