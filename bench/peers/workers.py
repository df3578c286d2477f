"""A pool of processes that ends with the error of a worker that fails at its start.

`multiprocessing.Pool` alone starts such a worker again, for ever and without a word. Standard
library only: this runs in every environment.
"""

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from types import TracebackType
from typing import Self, TypeVar

LOOK_SECONDS = 0.5

Job = TypeVar("Job")
Result = TypeVar("Result")

_failed: list[Exception] = []
"""In a worker: what its start raised."""


class WorkerDied(Exception):
    """A process of the pool ended by itself."""


class Workers:
    """`count` processes, each of which calls `start` once before its first job."""

    def __init__(self, count: int, start: Callable[[], object]) -> None:
        self._pool = multiprocessing.get_context("spawn").Pool(count, _begin, (start,))
        self._started = _children()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self._pool.terminate()
        self._pool.join()

    def each(self, work: Callable[[Job], Result], jobs: Iterable[Job]) -> Iterator[Result]:
        """The results of all jobs, in the order in which they end.

        Raises:
            WorkerDied: a process ended by itself, so that its job would never end.
            Exception: what `start` or `work` raised.
        """
        results = self._pool.imap_unordered(partial(_work, work), jobs, 1)
        while True:
            try:
                yield results.next(LOOK_SECONDS)
            except StopIteration:
                return
            except multiprocessing.TimeoutError:
                if _children() != self._started:
                    raise WorkerDied("a process of the pool ended by itself") from None


def _children() -> set[int | None]:
    return {child.pid for child in multiprocessing.active_children()}


def _begin(start: Callable[[], object]) -> None:
    try:
        start()
    except Exception as error:  # noqa: BLE001 - whatever it is, the first job raises it
        _failed.append(error)


def _work(work: Callable[[Job], Result], job: Job) -> Result:
    if _failed:
        raise _failed[0]
    return work(job)
