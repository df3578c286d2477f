"""How far a run is: a live bar on a terminal, a plain line every few seconds elsewhere."""

import sys
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TextIO

from rich.console import Console
from rich.progress import BarColumn, TaskProgressColumn, TextColumn
from rich.progress import Progress as RichProgress
from rich.table import Column

from shared.printing import duration

if TYPE_CHECKING:
    from shared.catalog import SubmissionStatus

PLAIN_SECONDS = 5.0
RATE_WINDOW_SECONDS = 10.0


def last_line(standing: "SubmissionStatus", rate: float) -> str:
    """What a run prints last, always of this form; `rate` in images a second of this run."""
    return (
        f"{standing.ended:,} images  {standing.with_faces:,} with faces  "
        f"{standing.faces:,} faces  {standing.failed:,} failed  {rate:.1f} img/s"
    )


class Pace:
    """Images a second over the last ten seconds, and the time that is left at that pace."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._seen: deque[tuple[float, int]] = deque()

    def at(self, done: int) -> float:
        """Note how many are done now; the pace."""
        now = self._clock()
        self._seen.append((now, done))
        while len(self._seen) > 2 and self._seen[1][0] < now - RATE_WINDOW_SECONDS:
            self._seen.popleft()
        (first, before), (last, after) = self._seen[0], self._seen[-1]
        return (after - before) / (last - first) if last > first else 0.0

    @staticmethod
    def left(remaining: int, rate: float) -> float | None:
        """Seconds until `remaining` are done, None if that is not known."""
        if remaining == 0:
            return 0.0
        return remaining / rate if rate > 0 else None


class Reporter(Protocol):
    """Shows where a submission stands, and notes in between."""

    def show(self, standing: "SubmissionStatus") -> None:
        """Called several times a second."""

    def note(self, text: str) -> None:
        """One line that stays."""

    def close(self) -> None:
        """Nothing more will be shown."""


class Quiet:
    """Shows nothing but notes."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def show(self, standing: "SubmissionStatus") -> None:
        """Nothing."""

    def note(self, text: str) -> None:
        """Print it."""
        print(text, file=self._stream, flush=True)

    def close(self) -> None:
        """Nothing."""


class Plain(Quiet):
    """One line every few seconds, for logs and pipes."""

    def __init__(self, stream: TextIO, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(stream)
        self._clock = clock
        self._pace = Pace(clock)
        self._due = clock() + PLAIN_SECONDS

    def show(self, standing: "SubmissionStatus") -> None:
        """Print a line when one is due."""
        rate = self._pace.at(standing.ended - standing.skipped)
        if self._clock() < self._due:
            return
        self._due = self._clock() + PLAIN_SECONDS
        more = "" if _named_all(standing) else "+"
        self.note(
            f"{standing.ended:,} of {standing.named:,}{more} images  {standing.faces:,} faces  "
            f"{standing.failed:,} failed  {rate:.1f} img/s{_left(standing, rate)}"
        )


class Bar:
    """A live bar with rate, time left, faces and failures."""

    def __init__(self, stream: TextIO) -> None:
        self._pace = Pace()
        self._progress = RichProgress(
            TextColumn("{task.fields[count]}", table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=8)),
            TaskProgressColumn(),
            TextColumn("{task.fields[found]}", table_column=Column(no_wrap=True)),
            console=Console(file=stream),
            expand=True,
            refresh_per_second=8,
        )
        self._task = self._progress.add_task("", total=None, count="starting", found="")
        self._progress.start()

    def show(self, standing: "SubmissionStatus") -> None:
        """Redraw."""
        done = standing.ended
        rate = self._pace.at(done - standing.skipped)
        named_all = _named_all(standing)
        failed = f"  [red]{standing.failed:,} failed[/]" if standing.failed else ""
        self._progress.update(
            self._task,
            completed=done,
            # While folders are still being read, a share of what is named so far would mislead.
            total=standing.named if named_all and standing.named else None,
            count=f"{done:,}/{standing.named:,}{'' if named_all else '+'} images",
            found=f"{standing.faces:,} faces{failed}  {rate:.1f} img/s{_left(standing, rate)}",
        )

    def note(self, text: str) -> None:
        """Print it above the bar."""
        self._progress.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def close(self) -> None:
        """Leave the bar as it stands."""
        self._progress.stop()


def reporter(*, quiet: bool, stream: TextIO | None = None) -> Reporter:
    """What fits where the messages go: standard error, unless told otherwise."""
    stream = stream or sys.stderr
    if quiet:
        return Quiet(stream)
    return Bar(stream) if stream.isatty() else Plain(stream)


def _named_all(standing: "SubmissionStatus") -> bool:
    return standing.sealed and standing.parts_open == 0


def _left(standing: "SubmissionStatus", rate: float) -> str:
    seconds = Pace.left(standing.queued, rate)
    if seconds is None or not _named_all(standing) or standing.queued == 0:
        return ""
    return f"  {duration(seconds)} left"
