"""What an act is: one way to break something, and to mend it."""

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import TypeVar

from tests.chaos.suite import Suite, Way

RECOVERY_LIMIT = 5.0
"""Seconds after which work goes on once an outage is mended."""

T = TypeVar("T")


class Needs(StrEnum):
    """A server that an act breaks, and that a machine may lack."""

    NOTHING = ""
    POSTGRES = "PostgreSQL"
    SENTINEL = "Sentinels"


@dataclass(frozen=True)
class Event:
    """One act of a schedule.

    Attributes:
        pause: seconds until the next event.
        act: the act's name.
        target: the service that it is done to, or ''.
        seconds: how long what is broken stays broken.
        choice: which of an act's variants: a large number, of which each act takes what it needs.
    """

    pause: float
    act: str
    target: str = ""
    seconds: float = 0.0
    choice: int = 0

    def one_of(self, variants: Sequence[T]) -> T:
        """The variant that was drawn."""
        return variants[self.choice % len(variants)]

    def __str__(self) -> str:
        return f"{self.act} {self.target}".strip()


Broken = Callable[[Suite, Event], AbstractAsyncContextManager[None]]
"""Breaks something at the block's beginning, and mends it at its end."""


@dataclass(frozen=True)
class Act:
    """One way to break something.

    Attributes:
        name: for people, and in a schedule.
        broken: see `Broken`.
        seconds: least and most for which it stays broken.
        outage: whether it would refuse any input alike, so that the time from its mending to the
            next committed row is measured.
        limit: seconds that this may take.
        brief: it would become another outage if it lasted until all services are alive; so these
            are waited for before it, not in it.
        from_the_break: the time is measured from the break on: it mends itself.
        way: only pictures that are sent this way are held up; None: all.
        on_service: it is done to one service.
    """

    name: str
    broken: Broken
    seconds: tuple[float, float] = (0.0, 0.0)
    outage: bool = True
    limit: float = RECOVERY_LIMIT
    brief: bool = False
    from_the_break: bool = False
    way: Way | None = None
    needs: Needs = Needs.NOTHING
    on_service: bool = False
