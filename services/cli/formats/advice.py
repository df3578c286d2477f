"""One line of advice: what is wrong first, else what would make it faster."""

from math import ceil

from shared.printing import count, duration, printable
from shared.streams.intake import SIGN_OF_LIFE_SECONDS
from shared.streams.keys import IMAGES, RESULTS
from shared.streams.stats import STAGES, Stats, StreamStats

NEARLY_FULL = 0.9
LONG_SECONDS = 600
MANY_RESULTS = 1000

MISSED_SIGNS = 3
"""A consumer that missed so many signs of life is silent, however short the lease."""


def advise(stats: Stats, lease_seconds: float, growth: float | None = None) -> str:
    """What to do, in one line.

    Args:
        lease_seconds: a consumer that has been silent for longer is taken for dead.
        growth: by how many entries a second the image stream grew lately, where that is known.
    """
    if stats.memory_max and stats.memory_used > NEARLY_FULL * stats.memory_max:
        return "Redis is nearly full: producers wait; scale the service whose stream is longest"
    silent_seconds = max(lease_seconds, MISSED_SIGNS * SIGN_OF_LIFE_SECONDS)
    for stream in stats.streams:
        if said := _dead_or_absent(stream, silent_seconds):
            return said
    if stats.dead or stats.dead_shed.gone:
        return _dead_letters(stats)
    if said := _too_slow(stats, silent_seconds, growth):
        return said
    if said := _waits(stats):
        return said
    return "all is moving" if any(one.length for one in stats.streams) else "nothing is waiting"


def _dead_letters(stats: Stats) -> str:
    """That there are some, and what the oldest lost at their bound."""
    shed = stats.dead_shed
    lost = [f"{shed.stripped:,} lost their pictures"] if shed.stripped else []
    lost += [f"{shed.gone:,} more are gone"] if shed.gone else []
    at_bound = f"; {' and '.join(lost)} to make room: retry or drop them" if lost else ""
    return f"{count(stats.dead, 'dead letter')}: see why with `faces dead list`{at_bound}"


def _waits(stats: Stats) -> str:
    """What most of the entries that were put off wait for; '' where there are none."""
    waits_for = [one for stream in stats.streams for one in stream.waits_for]
    if not waits_for:
        return ""
    most = max(waits_for, key=lambda one: one.count)
    why = f": {printable(most.reason)}" if most.reason else ""
    return f"{count(most.count, 'entry waits', 'entries wait')} for {printable(most.key)}{why}"


def _too_slow(stats: Stats, silent_seconds: float, growth: float | None) -> str:
    """Which service to scale, and to what; '' where all keep up."""
    images, results = stats.stream(IMAGES), stats.stream(RESULTS)
    detectors, left = _alive(images, silent_seconds), stats.eta_seconds
    if growth is not None and growth >= 1 and images.waiting and detectors:
        more = ceil(detectors * growth / images.rate) if images.rate else 1
        return (
            f"waiting grows by {growth:.0f}/s: scale detector from {detectors} "
            f"to {detectors + more}"
        )
    if results.waiting > images.waiting and results.waiting > MANY_RESULTS:
        writers = _alive(results, silent_seconds)
        return f"results wait for the writer: scale writer from {writers} to {writers + 1}"
    if left is not None and left > LONG_SECONDS and detectors:
        return (
            f"empty in {duration(left)}: scale detector from {detectors} to {2 * detectors} "
            "for about half of that"
        )
    return ""


def _alive(stream: StreamStats, silent_seconds: float) -> int:
    return sum(consumer.idle_seconds <= silent_seconds for consumer in stream.consumers)


def _dead_or_absent(stream: StreamStats, silent_seconds: float) -> str:
    """What a stage's consumers say of it: silent with entries in hand, or not there at all."""
    service = STAGES[stream.name]
    alive = _alive(stream, silent_seconds)
    for consumer in stream.consumers:
        if consumer.pending and consumer.idle_seconds > silent_seconds:
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
