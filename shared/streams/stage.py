"""What a service is to the runner: a function from messages to outcomes, one outcome a message."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from shared.messages import Message, Payload
from shared.reasons import Failure, Reason
from shared.streams.leases import Capacity

M = TypeVar("M", bound=Message)


async def _held() -> bool:
    return True


@dataclass(frozen=True)
class Work(Generic[M]):
    """One delivered message, and what a handler may want to know about its delivery.

    `attempt` counts from 1 and rises only when this message's own handling failed. `is_held` asks
    Redis whether the entry is still this consumer's: after a failover that lost it, what belongs
    to it is gone as well, and says nothing about the message. It raises `Unreachable`.
    """

    message: M
    attempt: int
    consumer: str
    is_held: Callable[[], Awaitable[bool]] = _held


@dataclass(frozen=True)
class Output:
    """A message for the stream that its class names, with the bytes of its new payloads.

    Payloads that the input already owned are passed on by naming them; they need no bytes here.
    """

    message: Message
    payloads: dict[Payload, bytes] = field(default_factory=dict)


@dataclass(frozen=True)
class Done:
    """The message is finished; its outputs are added in the same script that acknowledges it."""

    outputs: tuple[Output, ...] = ()


@dataclass(frozen=True)
class _Failed:
    """An attempt failed: a sentence for people, and the code of the reason."""

    sentence: str
    reason: Reason = Reason.ERROR

    @property
    def failure(self) -> Failure:
        """Why it failed."""
        return Failure(self.reason, self.sentence)


class Retry(_Failed):
    """The attempt failed in a way that may pass; after the last attempt it is a dead letter."""


class Dead(_Failed):
    """The message can never be handled: a dead letter at once."""


@dataclass(frozen=True)
class Later:
    """The message cannot be handled before `seconds` have passed, because of what `key` names.

    Its entry leaves the stream for the waiting set of that key (a bucket, a host), holds up
    nobody there, and comes back by itself. That counts no attempt and no delivery, may take
    longer than a lease, and the message stays in flight with its payloads.

    `reason` is for people: why what `key` names cannot be used. The newest one of a key is kept.
    """

    seconds: float
    key: str
    reason: str = ""


Outcome = Done | Retry | Dead | Later

Handler = Callable[[Sequence[Work[M]]], Awaitable[Sequence[Outcome]]]
"""Handles a batch; raises `Unreachable` to keep all of it until a server is back."""


@dataclass(frozen=True)
class StageSpec(Generic[M]):
    """What a service is to the runner.

    Attributes:
        name: of the service and of its group.
        stream: which stream it reads: `sources`, `images` or `results`.
        decode: reads an encoded message; raises InvalidMessage or LeftToOthers.
        handle: the function that the service is.
        failed: the message that tells the writer that this one is a dead letter (message, failure,
            attempts, consumer); None where nothing needs to be told.
        concurrency: how many batches are handled at once.
        batch: most messages in one batch.
        linger: least seconds between two batches, unless one is full: under load batches grow,
            while a message that arrives alone is handled at once.
        held: fewest entries held at once; None: as many as `concurrency` and `batch` can take.
        ahead: seconds of work to hold beyond `held`, as far as `concurrency` allows.
        handoff_pause: least seconds between two hand-offs, unless half of all wait for one.
    """

    name: str
    stream: str
    decode: Callable[[bytes], M]
    handle: Handler[M]
    failed: Callable[[M, Failure, int, str], Message | None]
    concurrency: int = 1
    batch: int = 1
    linger: float = 0.0
    held: int | None = None
    ahead: float = 0.0
    handoff_pause: float = 0.0

    @property
    def most(self) -> int:
        """Entries held at most: what is being handled, and two batches ahead where batches are."""
        ahead = 2 * self.batch if self.batch > 1 else 0
        return self.concurrency * self.batch + ahead

    def capacity(self) -> Capacity:
        """How many entries one consumer holds."""
        return Capacity(self.held or self.most, self.most, self.ahead)
