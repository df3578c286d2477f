"""What the runner needs to know of a service."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic

from shared.messages import Message
from shared.reasons import Failure
from shared.streams.capacity import Capacity
from shared.streams.outcome import Handler, M


@dataclass(frozen=True)
class StageSpec(Generic[M]):
    """What a service is to the runner.

    Attributes:
        name: of the service and of its group.
        stream: which stream it reads: `sources`, `images` or `results`.
        decode: reads a encoded; raises InvalidMessage or LeftToOthers.
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
