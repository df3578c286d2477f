"""What is broken when: drawn from a seed, so that the same seed breaks the same things."""

import random
from collections import Counter
from collections.abc import Collection, Sequence

from tests.chaos.acts import ACTS
from tests.chaos.acts.act import Event, Needs
from tests.chaos.suite import SERVICES

CHOICES = 1 << 16


def possible(counts: Counter[str], missing: Collection[Needs]) -> Counter[str]:
    """The acts for which nothing is missing on this machine."""
    return Counter(
        {name: count for name, count in counts.items() if ACTS[name].needs not in missing}
    )


def make_schedule(seed: int, counts: Counter[str]) -> list[Event]:
    """The events of a run: so many of each act, in an order and on targets drawn from the seed.

    Acts on services go round the services in a drawn order, so that each of them is hit.
    """
    draw = random.Random(seed)
    names = [name for name in ACTS for _ in range(counts[name])]
    draw.shuffle(names)
    victims: list[str] = []
    events = []
    for name in names:
        act = ACTS[name]
        target = ""
        if act.on_service:
            if not victims:
                victims = draw.sample(SERVICES, len(SERVICES))
            target = victims.pop()
        events.append(
            Event(
                pause=round(draw.uniform(0.2, 1.2), 2),
                act=name,
                target=target,
                seconds=round(draw.uniform(*act.seconds), 2),
                choice=draw.randrange(CHOICES),
            )
        )
    return events


def tell(events: Sequence[Event]) -> str:
    """How many of each act there are, in words."""
    counted = Counter(event.act for event in events)
    return ", ".join(f"{counted[name]} x {name}" for name in ACTS if counted[name])
