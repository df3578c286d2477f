"""Taking many things a portion at a time, so that no portion is too large."""

from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")


def in_portions(
    things: Iterable[T], size_of: Callable[[T], int], most: int, at_once: int | None = None
) -> Iterator[list[T]]:
    """Things in their order, in portions of up to `most` together, and up to `at_once` of them; one
    that is larger is a portion of its own."""
    portion: list[T] = []
    size = 0
    for thing in things:
        more = size_of(thing)
        if portion and (size + more > most or len(portion) == at_once):
            yield portion
            portion, size = [], 0
        portion.append(thing)
        size += more
    if portion:
        yield portion
