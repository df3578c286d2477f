"""How long to wait before trying again: doubling, capped, with jitter that stays at the cap."""

import random


def backoff(attempt: int, first: float, cap: float) -> float:
    """Seconds to wait after failed attempt number `attempt` (from 1).

    Doubles from `first` up to `cap`, then draws from the upper half of that, so that many who
    failed together do not come back together, also when all have reached the cap.
    """
    whole = min(cap, first * 2 ** min(attempt - 1, 32))
    return random.uniform(whole / 2, whole)  # noqa: S311 - spreads load, hides nothing
