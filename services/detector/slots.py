"""The detector's process slots: a pool of child processes, each asked one picture at a time.

A crash or a timeout has exactly one culprit and costs exactly one child: each slot's keeper puts
a fresh one in its place, while the neighbours go on.
"""

import asyncio
import os
import secrets
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress

import structlog

from services.detector import metrics
from services.detector.cell import Layer, hide_memory, lacking
from services.detector.environment import child_environment
from services.detector.pipe import Config, Request, frame_start
from services.detector.process import ChildProcess, NotBegun, SlotAnswer
from services.detector.references import Opened
from shared.backoff import backoff
from shared.errors import FacesError, Unreachable

FIRST_DELAY_SECONDS = 0.2
CAP_DELAY_SECONDS = 30.0

FAILED_STARTS_LIMIT = 3
"""After this many failed starts in a row, with no slot alive, the detector is unready."""

log = structlog.get_logger()


class Slots:
    """`count` child processes. Use `open_slots`."""

    def __init__(self, config: Config, count: int, task_timeout: float) -> None:
        self.count = count
        self._config = config
        self._task_timeout = task_timeout
        self._environment = child_environment(os.environ) | {
            # The caps of the header's reader, once more where OpenCV reads another size.
            "OPENCV_IO_MAX_IMAGE_PIXELS": str(config.max_pixels),
            "OPENCV_LOG_LEVEL": "SILENT",  # a broken picture is told in its result
        }
        self._live: set[ChildProcess] = set()
        self._idle: list[ChildProcess] = []
        self._credits: list[ChildProcess] = []
        self._waiting: deque[asyncio.Future[ChildProcess]] = deque()
        self._ended: set[ChildProcess] = set()
        self._failed_starts = 0
        self._failure = ""
        metrics.SLOTS.set(count)
        metrics.SLOTS_BUSY.set_function(lambda: self.busy)

    @property
    def pids(self) -> list[int]:
        """Process ids of the children that are alive."""
        return [child.pid for child in self._live if not child.gone.is_set()]

    @property
    def busy(self) -> int:
        """Children at work."""
        return sum(child.at_work for child in self._live)

    @property
    def credits(self) -> int:
        """Children at work that each take one more request."""
        return len(self._credits)

    def wrong(self) -> str | None:
        """What is wrong for good: no child is alive and none can be started; else None."""
        if self._live or self._failed_starts < FAILED_STARTS_LIMIT:
            return None
        return f"no detector process can be started: {self._failure}"

    async def check(self) -> None:
        """See that pictures can be searched, for readiness.

        Raises:
            Unreachable: they cannot, and why.
        """
        if wrong := self.wrong():
            raise Unreachable(wrong)

    async def ask(self, request: Request, content: bytes | Opened) -> SlotAnswer:
        """One picture's answer, from the next free slot, of its bytes or its open file.

        Raises:
            SlotCrashed: the picture cost its process, or took too long.
            Unreachable: there is no slot, and there will be none soon.
        """
        number = secrets.randbits(48)
        payload = 0 if isinstance(content, Opened) else len(content)
        # While all slots are busy, not while one waits.
        frame = frame_start(request.model_copy(update={"number": number}), payload)
        while True:
            child = await self._take()
            granted = False

            def credited(child: ChildProcess = child) -> None:
                nonlocal granted
                granted = True
                self._give(child, self._credits)

            try:
                return await child.ask(frame, number, content, self._task_timeout, credited)
            except NotBegun:
                continue
            finally:
                if not granted:
                    self._give(child, self._idle)
                elif child in self._credits:  # nobody used it
                    self._credits.remove(child)
                    self._idle.append(child)

    async def _take(self) -> ChildProcess:
        """A child that is idle, else one with a credit; those who wait are served in turn."""
        while True:
            for free in (self._idle, self._credits):
                while free:
                    child = free.pop()  # the last one back: its memory is warm
                    if not child.gone.is_set():
                        return child
            if wrong := self.wrong():
                raise Unreachable(wrong)
            turn: asyncio.Future[ChildProcess] = asyncio.get_running_loop().create_future()
            self._waiting.append(turn)
            try:
                child = await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled() and turn.exception() is None:
                    child = turn.result()
                    self._give(child, self._credits if child.at_work else self._idle)
                raise
            if not child.gone.is_set():
                return child

    def _give(self, child: ChildProcess, free: list[ChildProcess]) -> None:
        """Hand a child to the request that has waited longest; without one it joins `free`."""
        if child.spent or child.gone.is_set():
            return
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(child)
                return
        free.append(child)

    async def start(self) -> list[ChildProcess]:
        """The first children, at the same time; what prevents one is an error of the service.

        The caller keeps each slot filled from then on, with `keep`.
        """
        starting = [
            asyncio.create_task(ChildProcess.start(self._config, self._environment))
            for _ in range(self.count)
        ]
        try:
            children = await asyncio.gather(*starting)
        except BaseException:  # also when stopped meanwhile: leave no process behind
            for task in starting:
                task.cancel()
            ended = await asyncio.gather(*starting, return_exceptions=True)
            await asyncio.gather(*(one.close() for one in ended if isinstance(one, ChildProcess)))
            raise
        _tell(children[0].missing_layers)
        for child in children:
            self._admit(child)
        return children

    def _admit(self, child: ChildProcess) -> None:
        self._live.add(child)
        metrics.SLOTS_LIVE.set(len(self._live))
        self._give(child, self._idle)

    async def keep(self, child: ChildProcess) -> None:
        """Keep one slot filled, beginning with a child that was admitted."""
        while True:
            try:
                await child.gone.wait()
            except asyncio.CancelledError:
                if child.at_work:
                    child.kill("cancelled")
                await child.close()
                raise
            finally:
                self._live.discard(child)
                metrics.SLOTS_LIVE.set(len(self._live))
            self._ended.add(child)
            metrics.RESTARTS.labels(child.cause).inc()
            log.info("slot replaced", child=child.pid, cause=child.cause)
            child = await self._started()
            self._ended = {one for one in self._ended if not one.reaped}
            self._admit(child)

    async def _started(self) -> ChildProcess:
        """A fresh child, however often it takes; the waits between failures grow."""
        while True:
            try:
                child = await ChildProcess.start(self._config, self._environment)
            except (FacesError, OSError) as error:
                self._failed_starts += 1
                self._failure = str(error)
                metrics.RESTARTS.labels("start").inc()
                log.error("slot cannot start", reason=str(error), attempt=self._failed_starts)
                self._tell_the_waiting()
                await asyncio.sleep(
                    backoff(self._failed_starts, FIRST_DELAY_SECONDS, CAP_DELAY_SECONDS)
                )
            else:
                self._failed_starts = 0
                return child

    async def close(self) -> None:
        """Close the children that were replaced and have not ended yet."""
        await asyncio.gather(*(child.close() for child in self._ended))

    def _tell_the_waiting(self) -> None:
        wrong = self.wrong()
        while wrong and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_exception(Unreachable(wrong))


def _tell(missing: Mapping[Layer, str]) -> None:
    """Say once what holds the children, and what does not: their kernel is the same for all."""
    for layer in Layer:
        metrics.CELL.labels(layer).set(layer not in missing)
    if missing:
        log.warning("slots are not fully confined", lacking=lacking(missing))


@asynccontextmanager
async def open_slots(config: Config, count: int, task_timeout: float) -> AsyncIterator[Slots]:
    """Slots that are ready; when the block ends their processes do.

    Raises:
        ModelMissing: the model's weights are not there.
        FacesError: the processes cannot work with these settings, and why.
    """
    with suppress(OSError):  # then the children cannot either, and `_tell` says so
        hide_memory()  # from what runs in the slots, which is of the same user
    slots = Slots(config, count, task_timeout)
    children = await slots.start()
    keepers = [asyncio.create_task(slots.keep(child)) for child in children]
    try:
        yield slots
    finally:
        for keeper in keepers:
            keeper.cancel()
        await asyncio.gather(*keepers, return_exceptions=True)
        await slots.close()
