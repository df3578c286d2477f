"""What the runner needs to know of a service."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from shared.messages import Message
from shared.streams.outcome import Handler, M


@dataclass(frozen=True)
class StageSpec(Generic[M]):
    """What a service is to the runner.

    Attributes:
        name: of the service and of its group.
        stream: which stream it reads: `sources`, `images` or `results`.
        decode: reads a payload; raises InvalidMessage or NewerMessage.
        handle: the function that the service is.
        failed: the message that tells the writer that this one is a dead letter (message, reason,
            attempts, consumer); None where nothing needs to be told.
        concurrency: how many batches are handled at once.
        batch: most messages in one batch.
        linger: least seconds between two batches, unless one is full: under load batches grow,
            while a message that arrives alone is handled at once.
    """

    name: str
    stream: str
    decode: Callable[[bytes], M]
    handle: Handler[M]
    failed: Callable[[M, str, int, str], Message | None]
    concurrency: int = 1
    batch: int = 1
    linger: float = 0.0

    @property
    def capacity(self) -> int:
        """Entries held at once: what is being handled, and one batch ahead where batches are."""
        ahead = self.batch if self.batch > 1 else 0
        return self.concurrency * self.batch + ahead
