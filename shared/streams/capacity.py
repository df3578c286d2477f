"""How many entries a consumer holds at once: what it is at work on, and a little ahead."""

import time
from collections.abc import Callable


class Capacity:
    """From `least` entries to `most`: what is finished in `ahead` seconds comes on top of `least`.

    A consumer that finishes many a second reads for many at a time; one that is slow holds hardly
    more than it is at work on, and leaves the rest to others. Equal bounds make it fixed.
    """

    def __init__(
        self, least: int, most: int, ahead: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.entries = least
        self._least = least
        self._most = most
        self._ahead = ahead
        self._clock = clock
        self._since = clock()
        self._finished = 0

    def finished(self, count: int) -> None:
        """So many entries more have come to their end here."""
        self._finished += count
        passed = self._clock() - self._since
        if self._ahead and passed >= self._ahead:
            extra = int(self._finished * self._ahead / passed)
            self.entries = min(self._most, self._least + extra)
            self._since += passed
            self._finished = 0
