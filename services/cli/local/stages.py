"""The three services as tasks of one event loop, and their way out."""

import asyncio
import importlib
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import TYPE_CHECKING, Any

from shared.garbage import collect_seldom
from shared.health import Health
from shared.settings import Settings

if TYPE_CHECKING:
    from services.detector.slots import Slots

DETECTOR = "detector"
MAKES_RESULTS = ("ingest", DETECTOR)
WRITER = "writer"


class Stages:
    """Ingest, detector and writer, each opened and run in a task of its own."""

    def __init__(
        self,
        settings: Settings,
        tasks: asyncio.TaskGroup,
        slots: "asyncio.Task[Slots] | None" = None,
    ) -> None:
        """Starts them; what one of them raises ends the task group. `slots` are the detector's,
        where they were started before."""
        self._settings = settings
        self._more: Mapping[str, tuple[Any, ...]] = {DETECTOR: (slots,)}  # Any: as each takes it
        self._healths = {name: Health() for name in (*MAKES_RESULTS, WRITER)}
        self._stops = {name: asyncio.Event() for name in self._healths}
        self._opened = {name: asyncio.Event() for name in self._healths}
        self._tasks = {name: tasks.create_task(self._serve(name)) for name in self._healths}

    @staticmethod
    def load() -> None:
        """Import what the services need."""
        for name in (*MAKES_RESULTS, WRITER):
            importlib.import_module(f"services.{name}.service")

    async def opened(self) -> None:
        """Wait until every service can work."""
        for event in self._opened.values():
            await event.wait()
        collect_seldom()

    @property
    def trouble(self) -> str:
        """Why a service cannot work now; '' when all can."""
        for health in self._healths.values():
            for name, problem in health.problems.items():
                if name != "start":
                    return problem
        return ""

    async def drain(self, results_are_empty: Callable[[], Awaitable[bool]]) -> None:
        """Finish what was started: first what makes results, then the writer, when it has none."""
        await self._stop(*MAKES_RESULTS)
        deadline = time.monotonic() + self._settings.drain_seconds
        while not await results_are_empty():
            if time.monotonic() > deadline:
                break
            await asyncio.sleep(0.02)
        await self._stop(WRITER)

    async def _serve(self, name: str) -> None:
        service = importlib.import_module(f"services.{name}.service")
        async with service.open_stage(
            self._settings, self._healths[name], *self._more.get(name, ())
        ) as stage:
            self._healths[name].ready("start")
            self._opened[name].set()
            await stage.run(self._stops[name])

    async def _stop(self, *names: str) -> None:
        for name in names:
            self._stops[name].set()
        if DETECTOR in names and not self._opened[DETECTOR].is_set():
            self._tasks[DETECTOR].cancel()  # it only waits for its processes, which nobody needs
        await asyncio.wait([self._tasks[name] for name in names])
