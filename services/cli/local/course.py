"""The whole pipeline in one process: one submission, from its paths to its last row.

That it is complete is read from the ledger, never from empty streams.
"""

import asyncio
import os
import shutil
import signal
import sqlite3
import time
from collections.abc import Mapping
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.cli.local.embedded import EmbeddedValkey
from services.cli.local.plan import Plan
from services.cli.local.progress import Reporter
from services.cli.local.stages import Stages
from services.cli.outdir.filling import Filling, Placed
from services.cli.sending.parts import Submission
from services.cli.talk import notes_on
from services.detector.slots import Slots
from shared.catalog import Catalog, Redo, SubmissionStatus
from shared.errors import Exit, FacesError, Unreachable
from shared.printing import printable
from shared.recipe import DRAWING_VERSION
from shared.streams.client import check, connect
from shared.streams.keys import RESULTS, Keys
from shared.streams.producer import Producer
from shared.streams.refusals import as_unreachable
from shared.streams.repairs import clear_leftovers
from shared.verbs.again import again
from shared.verbs.redo import redo
from shared.verbs.showing import showing

SHOW_SECONDS = 1.0
SHOW_SOON_SECONDS = 0.1
"""How often the ledger is asked: seldom while many images are left, since each question takes
time from the detectors; often near the end and at the start."""
FEW_LEFT = 50


def pause_before_next_look(standing: SubmissionStatus) -> float:
    """Seconds until the ledger is worth asking again."""
    return SHOW_SECONDS if standing.queued > FEW_LEFT else SHOW_SOON_SECONDS


FOLLOW_SECONDS = 2.0
TROUBLE_SECONDS = 2.0
LEAST_FREE_BYTES = 16 << 20
"""With less than this free, and a service waiting, the disk is what it waits for."""


class DiskFull(FacesError):
    """There is no room for results; nothing is lost, and nothing can go on."""

    exit_status = Exit.UNREACHABLE


class ResultsRefused(FacesError):
    """The mirrored tree, or an original that is done, cannot be put where it belongs."""

    exit_status = Exit.UNREACHABLE


@dataclass(frozen=True)
class Ending:
    """How a run ended.

    Attributes:
        seconds: all that it took; `working_seconds`, since every service was ready.
        drawn_before_mend: how many of its annotated pictures an earlier run drew with a version of
            drawing that was mended since.
        not_read: how many files of kinds that are not read, by the sentence of each.
        cut: how many of its files end before their pictures do.
        not_moved: a line on each reason for which originals that are done were not moved.
        placed: what became of the results in OUT/annotated.
        searched_again: how many results of earlier runs were gone or empty, and were made anew.
        still_showing: how many pictures other recipes made that show faces, where this one hides.
    """

    standing: SubmissionStatus
    seconds: float
    working_seconds: float
    interrupted: bool
    drawn_before_mend: int
    cut: int
    not_moved: tuple[str, ...]
    not_read: Mapping[str, int] = field(default_factory=dict)
    placed: Placed = field(default_factory=Placed)
    searched_again: int = 0
    still_showing: int = 0

    @property
    def rate(self) -> float:
        """Images a second that this run brought to their end."""
        done = self.standing.ended - self.standing.skipped + self.searched_again
        return done / self.working_seconds if self.working_seconds > 0 else 0.0


async def run(
    plan: Plan,
    valkey: EmbeddedValkey | None,
    reporter: Reporter,
    slots: asyncio.Task[Slots],
) -> Ending:
    """Run a plan to its end, or to an interrupt; what was started then is finished first.

    `slots` are the detector's, which were started while this was imported.

    Raises:
        FacesError: what keeps it from going on, in one line; running it again resumes.
    """
    began = time.monotonic()
    async with AsyncExitStack() as opened:
        opened.enter_context(as_unreachable())
        if valkey is not None:
            await valkey.ready()
        client = connect(plan.settings.redis_url)
        opened.push_async_callback(client.aclose)
        await check(client)
        catalog = await Catalog.open(plan.settings.database_url.get_secret_value())
        opened.push_async_callback(catalog.close)
        if valkey is not None:
            await clear_leftovers(client, Keys(plan.settings.prefix))
        interrupted = opened.enter_context(_Interrupt(reporter, valkey))
        try:
            async with asyncio.TaskGroup() as tasks:
                watching = tasks.create_task(valkey.watch()) if valkey is not None else None
                course = _Course(plan, client, catalog, reporter, interrupted.asked)
                ending = await course.run(tasks, began, slots)
                if watching is not None:
                    watching.cancel()
                return ending
        except ExceptionGroup as group:
            raise _cause(group) from None


class _Course:
    """One submission on its way through the services."""

    def __init__(
        self,
        plan: Plan,
        client: Redis,
        catalog: Catalog,
        reporter: Reporter,
        interrupted: asyncio.Event,
    ) -> None:
        self._plan = plan
        self._client = client
        self._catalog = catalog
        self._reporter = reporter
        self._interrupted = interrupted
        self._results_stream = Keys(plan.settings.prefix).stream(RESULTS)
        self._producer = Producer(client, plan.settings)
        self._submission = Submission(self._producer, plan.recipe, plan.name)
        self._working_since = time.monotonic()
        self._searched_again = 0

    async def run(
        self, tasks: asyncio.TaskGroup, began: float, slots: asyncio.Task[Slots]
    ) -> Ending:
        submission = self._submission
        await self._catalog.ledger.open_submission(
            submission.id, submission.name, submission.created_at
        )
        stages = Stages(self._plan.settings, tasks, slots)
        submitting = tasks.create_task(self._submit())
        timing = tasks.create_task(self._note_start(stages))
        # This run's own is not in the catalog before its first picture is.
        recipes = (*await self._catalog.reader.recipes(), self._plan.recipe)
        filling = Filling(
            self._plan,
            self._catalog,
            submission.id,
            hiding={one.id for one in recipes if one.mode.hides},
        )
        try:
            await self._until_end(stages, filling)
            ended = time.monotonic()
            for task in (submitting, timing):
                task.cancel()
            await stages.drain(self._no_results)
            standing = await self._catalog.reader.submission(submission.id)
            outdated = await self._catalog.reader.drawn_before(DRAWING_VERSION, submission.id)
            not_read = await self._catalog.reader.not_read(submission.id)
            cut = await self._catalog.reader.cut(submission.id)
            await self._follow(filling)
            self._reporter.show(standing)
        finally:
            filling.close()
        return Ending(
            standing,
            seconds=ended - began,
            working_seconds=ended - self._working_since,
            interrupted=self._interrupted.is_set() and not standing.complete,
            drawn_before_mend=outdated,
            cut=cut,
            not_moved=tuple(filling.not_moved),
            placed=filling.placed,
            searched_again=self._searched_again,
            still_showing=await self._still_showing(),
            not_read=not_read,
        )

    async def _submit(self) -> None:
        if (again := self._plan.again) is not None:
            own = self._submission
            request = Redo(own.id, own.name, own.created_at, again.filter, again.recipe)
            done = await redo(request, self._catalog, self._producer)
            for line in notes_on(done):
                self._reporter.note(line)
            return
        for path in self._plan.paths:
            await self._submission.add_path(
                path,
                self._plan.excluded,
                follow_links=self._plan.follow_links,
                patterns=self._plan.patterns,
            )
        await self._submission.close()

    async def _note_start(self, stages: Stages) -> None:
        await stages.opened()
        self._working_since = time.monotonic()

    async def _until_end(self, stages: Stages, filling: Filling) -> None:
        """Show and place what ends, until the submission is complete or somebody interrupts."""
        clock = time.monotonic
        follow_at, troubled_since, told = clock() + FOLLOW_SECONDS, clock(), ""
        pause = SHOW_SOON_SECONDS
        while not self._interrupted.is_set():
            with suppress(Unreachable):  # the services wait for it too, and say so
                standing = await self._catalog.reader.submission(self._submission.id)
                self._reporter.show(standing)
                if standing.complete:
                    await self._follow(filling)
                    if not await self._search_again(filling):
                        return
                pause = pause_before_next_look(standing)
                if clock() >= follow_at:
                    await self._follow(filling)
                    follow_at = clock() + FOLLOW_SECONDS
            trouble = stages.trouble
            if not trouble:
                troubled_since, told = clock(), ""
            elif clock() - troubled_since > TROUBLE_SECONDS and trouble != told:
                self._refuse_full_disk()
                self._reporter.note(f"waiting: {trouble}")
                told = trouble
            with suppress(TimeoutError):
                await asyncio.wait_for(self._interrupted.wait(), pause)

    async def _follow(self, filling: Filling) -> None:
        try:
            await filling.follow()
        except (OSError, sqlite3.Error) as error:
            self._refuse_full_disk()
            why = getattr(error, "strerror", None) or error
            raise ResultsRefused(f"cannot write below {self._plan.out}: {why}") from None
        for note in filling.notes():
            self._reporter.note(printable(note))

    async def _search_again(self, filling: Filling) -> int:
        """Search again what has no object any more; how many."""
        number = 0
        for member in filling.damaged():
            number += await again(
                self._catalog, self._producer, self._submission.id, member.id, member.recipe
            )
        self._searched_again += number
        return number

    async def _still_showing(self) -> int:
        """How many pictures of other recipes show faces, where all of this run's hide them."""
        own = self._plan.again is not None and self._plan.again.recipe is None
        if own or not self._plan.recipe.mode.hides:
            return 0
        return sum((await showing(self._catalog, but=self._plan.recipe.id)).values())

    def _refuse_full_disk(self) -> None:
        if shutil.disk_usage(self._plan.out).free < LEAST_FREE_BYTES:
            raise DiskFull(
                f"the disk of {self._plan.out} is full; make room and run the same command "
                "again: it goes on where it stopped"
            )

    async def _no_results(self) -> bool:
        try:
            return not await self._client.xlen(self._results_stream)
        except RedisError:
            return True  # they stay in the stream for the next run


class _Interrupt:
    """SIGINT and SIGTERM: the first asks to drain, the second leaves at once."""

    def __init__(self, reporter: Reporter, valkey: EmbeddedValkey | None) -> None:
        self.asked = asyncio.Event()
        self._reporter = reporter
        self._valkey = valkey
        self._loop = asyncio.get_running_loop()

    def __enter__(self) -> "_Interrupt":
        for signum in (signal.SIGINT, signal.SIGTERM):
            self._loop.add_signal_handler(signum, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for signum in (signal.SIGINT, signal.SIGTERM):
            self._loop.remove_signal_handler(signum)

    def _ask(self) -> None:
        if self.asked.is_set():
            self._reporter.close()
            if self._valkey is not None:
                self._valkey.kill()
            os._exit(Exit.INTERRUPTED)  # nothing is lost: the next run takes up what was held
        self.asked.set()
        self._reporter.note("stopping: finishing what is in flight (once more: leave at once)")


def _cause(group: BaseExceptionGroup[BaseException]) -> BaseException:
    """What people should read of a group: its first error for people, else its first error."""
    for_people, rest = group.split((FacesError, RedisError))
    chosen = for_people or rest
    assert chosen is not None
    first = chosen.exceptions[0]
    return _cause(first) if isinstance(first, BaseExceptionGroup) else first
