"""Which streams there are: one entry each, which everything asks that counts, cleans or repairs.

    sources -> images -> results -> (rows)
    any of them -> dead

In every circle of streams one edge has no high-water mark and carries at most one entry an
admitted input, so that streams cannot stop each other: dead letters, which discard the oldest at
their bound, and wake-ups. The shares of all streams add up to less than Redis' memory.
"""

from collections.abc import Callable
from dataclasses import dataclass

from shared.messages import ImageMessage, Message, SourceMessage, decode_result
from shared.streams.keys import DEAD, IMAGES, RESULTS, SOURCES


@dataclass(frozen=True)
class StreamKind:
    """One stream.

    Attributes:
        name: as `shared.streams.keys.Keys.stream` takes it.
        service: whose group reads it; '' where nobody does.
        decode: reads its messages; None where they are of other streams.
        share: of the bytes that images may take, how much it may; None: it has no mark.
        carries_images: its entries are images in flight.
        wakes: its entries only wake their reader, who reads the ledger: one that waits is enough,
            and all of them may be lost.
        discards: at its mark the oldest make room, and nobody waits.
        beyond_full: entries are added also while Redis is full, up to the mark: they end what was
            admitted before, so that memory comes free.
        kept_over_runs: what a run left in it is done by the next; else the next run names it anew.
    """

    name: str
    service: str = ""
    decode: Callable[[bytes], Message] | None = None
    share: float | None = None
    carries_images: bool = False
    wakes: bool = False
    discards: bool = False
    beyond_full: bool = False
    kept_over_runs: bool = False


STREAMS = {
    kind.name: kind
    for kind in (
        StreamKind(SOURCES, "ingest", SourceMessage.decode, share=0.25),
        StreamKind(IMAGES, "detector", ImageMessage.decode, share=1.0, carries_images=True),
        StreamKind(
            RESULTS,
            "writer",
            decode_result,
            share=0.5,
            carries_images=True,
            beyond_full=True,
            kept_over_runs=True,
        ),
        StreamKind(DEAD, share=0.125, discards=True),
    )
}


def read_by_services() -> list[StreamKind]:
    """The streams that a service's group reads, in the order of an image's way."""
    return [kind for kind in STREAMS.values() if kind.service]


def carrying_images() -> list[str]:
    """The streams whose entries are images in flight."""
    return [kind.name for kind in STREAMS.values() if kind.carries_images]
