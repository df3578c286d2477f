"""What is broken when: drawn from a seed, so that the same seed breaks the same things."""

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum


class Act(StrEnum):
    """One way to break something; each mends itself or is mended by the driver."""

    KILL = "kill"
    """SIGKILL a service; another takes its place."""
    TERMINATE = "terminate"
    """SIGTERM a service, which drains; another takes its place."""
    FREEZE = "freeze"
    """SIGSTOP a service for longer than its lease, then SIGCONT."""
    RESTART_REDIS = "restart redis"
    """SIGKILL the Redis server and start it from its append-only file."""
    CUT = "cut"
    """Cut every connection to Redis."""
    LOSE_REPLY = "lose reply"
    """Let Redis do the next script, and lose its answer."""
    DELAY = "delay"
    """Hold up everything to and from Redis for a moment."""
    STOP_POSTGRES = "stop postgres"
    """Stop PostgreSQL at once, and start it again."""


SERVICES = (
    "ingest-1",
    "ingest-2",
    "detector-1",
    "detector-2",
    "detector-3",
    "writer-1",
    "writer-2",
)
_ON_SERVICES = (Act.KILL, Act.TERMINATE, Act.FREEZE)


@dataclass(frozen=True)
class Event:
    """Something breaks `pause` seconds after the event before it; `target` names a service."""

    pause: float
    act: Act
    target: str = ""

    def __str__(self) -> str:
        return f"{self.act} {self.target}".strip()


def make_schedule(seed: int, counts: Counter[Act]) -> list[Event]:
    """The events of a run: so many of each act, in an order and on targets drawn from the seed.

    Kills go round the services in a drawn order, so that each of them dies.
    """
    draw = random.Random(seed)
    acts = [act for act in Act for _ in range(counts[act])]
    draw.shuffle(acts)
    victims: list[str] = []
    events = []
    for act in acts:
        target = ""
        if act in _ON_SERVICES:
            if not victims:
                victims = draw.sample(SERVICES, len(SERVICES))
            target = victims.pop()
        events.append(Event(round(draw.uniform(0.2, 1.2), 2), act, target))
    return events


def tell(events: Sequence[Event]) -> str:
    """How many of each act there are, in words."""
    counted = Counter(event.act for event in events)
    return ", ".join(f"{counted[act]} x {act}" for act in Act if counted[act])
