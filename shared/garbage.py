"""How often Python looks for reference cycles."""

import gc

ALLOCATIONS_BETWEEN = 50_000
"""Python's own 700 make it look several times in each batch: a seventh of a busy stage's time
(`bench.queue`), though messages hold no cycles."""


def collect_seldom() -> None:
    """Call when a service is loaded: what is there by then is never looked through again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS_BETWEEN, 20, 100)
