"""How many entries a consumer holds follows how many it finishes."""

import pytest

from shared.streams.leases import Capacity


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


@pytest.mark.parametrize(
    ("finished", "seconds", "entries"),
    [
        (1, 2.0, 2),  # slow pictures: nothing ahead
        (8, 1.0, 4),
        (20, 0.5, 12),
        (1000, 0.5, 16),  # never more than the most
    ],
)
def test_it_holds_what_it_finishes_in_the_time_ahead(
    finished: int, seconds: float, entries: int
) -> None:
    clock = Clock()
    capacity = Capacity(least=2, most=16, ahead=0.25, clock=clock)
    assert capacity.entries == 2
    clock.seconds = seconds
    capacity.finished(finished)
    assert capacity.entries == entries


def test_a_consumer_that_becomes_slow_gives_its_room_back() -> None:
    clock = Clock()
    capacity = Capacity(least=2, most=16, ahead=0.25, clock=clock)
    clock.seconds += 1
    capacity.finished(100)
    assert capacity.entries == 16
    clock.seconds += 10
    capacity.finished(1)
    assert capacity.entries == 2


def test_without_time_ahead_it_is_fixed() -> None:
    clock = Clock()
    capacity = Capacity(least=1500, most=1500, ahead=0, clock=clock)
    clock.seconds += 1
    capacity.finished(10_000)
    assert capacity.entries == 1500
