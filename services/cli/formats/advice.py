"""One line of advice: what is wrong first, else what would make it faster."""

from math import ceil

from shared.printing import count, duration
from shared.streams.keys import IMAGES, RESULTS
from shared.streams.stats import STAGES, Stats, StreamStats

NEARLY_FULL = 0.9
LONG_SECONDS = 600
MANY_RESULTS = 1000


def advise(stats: Stats, lease_seconds: float, growth: float | None = None) -> str:
    """What to do, in one line.

    Args:
        lease_seconds: a consumer that has been silent for longer is taken for dead.
        growth: by how many entries a second the image stream grew lately, where that is known.
    """
    if stats.memory_max and stats.memory_used > NEARLY_FULL * stats.memory_max:
        return "Redis is nearly full: producers wait; scale the service whose stream is longest"
    for stream in stats.streams:
        if said := _dead_or_absent(stream, lease_seconds):
            return said
    if stats.dead:
        return f"{count(stats.dead, 'dead letter')}: see why with `faces dead list`"
    if said := _too_slow(stats, lease_seconds, growth):
        return said
    return "all is moving" if any(one.length for one in stats.streams) else "nothing is waiting"


def _too_slow(stats: Stats, lease_seconds: float, growth: float | None) -> str:
    """Which service to scale, and to what; '' where all keep up."""
    images, results = stats.stream(IMAGES), stats.stream(RESULTS)
    detectors, left = _alive(images, lease_seconds), stats.eta_seconds
    if growth is not None and growth >= 1 and images.waiting and detectors:
        more = ceil(detectors * growth / images.rate) if images.rate else 1
        return (
            f"waiting grows by {growth:.0f}/s: scale detector from {detectors} "
            f"to {detectors + more}"
        )
    if results.waiting > images.waiting and results.waiting > MANY_RESULTS:
        writers = _alive(results, lease_seconds)
        return f"results wait for the writer: scale writer from {writers} to {writers + 1}"
    if left is not None and left > LONG_SECONDS and detectors:
        return (
            f"empty in {duration(left)}: scale detector from {detectors} to {2 * detectors} "
            "for about half of that"
        )
    return ""


def _alive(stream: StreamStats, lease_seconds: float) -> int:
    return sum(consumer.idle_seconds <= lease_seconds for consumer in stream.consumers)


def _dead_or_absent(stream: StreamStats, lease_seconds: float) -> str:
    """What a stage's consumers say of it: silent with entries in hand, or not there at all."""
    service = STAGES[stream.name]
    alive = _alive(stream, lease_seconds)
    for consumer in stream.consumers:
        if consumer.pending and consumer.idle_seconds > lease_seconds:
            held = count(consumer.pending, "entry", "entries")
            silent = f"{consumer.name} holds {held}, silent for {duration(consumer.idle_seconds)}"
            if alive:
                return f"{silent}: the other {service} consumers take over"
            return f"{silent}, and no other {service} runs: start one with `faces {service}`"
    if stream.length and not alive:
        return (
            f"{stream.length:,} wait and no {service} runs: start one with `faces {service}` or "
            f"`kubectl scale deployment/{service} --replicas=1`"
        )
    return ""
