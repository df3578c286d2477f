"""What a service is: a function from messages to outcomes, one outcome a message."""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from shared.messages import Message, Payload
from shared.reasons import Failure, Reason

M = TypeVar("M", bound=Message)


@dataclass(frozen=True)
class Work(Generic[M]):
    """One delivered message, and what a handler may want to know about its delivery.

    `attempt` counts from 1 and rises only when this message's own handling failed.
    """

    message: M
    attempt: int
    consumer: str


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
class Retry:
    """The attempt failed in a way that may pass; after the last attempt it is a dead letter."""

    sentence: str
    reason: Reason = Reason.ERROR

    @property
    def failure(self) -> Failure:
        """Why it failed."""
        return Failure(self.reason, self.sentence)


@dataclass(frozen=True)
class Dead:
    """The message can never be handled: a dead letter at once."""

    sentence: str
    reason: Reason = Reason.ERROR

    @property
    def failure(self) -> Failure:
        """Why it failed."""
        return Failure(self.reason, self.sentence)


@dataclass(frozen=True)
class Later:
    """The message cannot be handled before `seconds` have passed, because of what `key` names.

    Its entry leaves the stream for the waiting set of that key (a bucket, a host), holds up
    nobody there, and comes back by itself. That counts no attempt and no delivery, may take
    longer than a lease, and the message stays in flight with its payloads.
    """

    seconds: float
    key: str


Outcome = Done | Retry | Dead | Later

Handler = Callable[[Sequence[Work[M]]], Awaitable[Sequence[Outcome]]]
"""Handles a batch; raises `Unreachable` to keep all of it until a server is back."""
