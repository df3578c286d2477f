"""The course of a run: one event after the other is done, and what is broken is mended."""

import asyncio
import time
from collections.abc import Callable, Sequence

from tests.chaos.acts import ACTS
from tests.chaos.acts.act import Act, Event
from tests.chaos.ledger import Ledger
from tests.chaos.recovery import Recovery, watch
from tests.chaos.sending import Sending
from tests.chaos.suite import Suite, Way
from tests.support.waiting import wait_until

HANDED_OVER_SECONDS = 10.0
"""How long an outage waits for pictures that it should hold up."""


class Course:
    """Goes through the events of a schedule.

    Outages follow one upon the other: the next begins when work went on after the last. The other
    acts happen meanwhile, but for the time from an outage's mending to its recovery, which is
    measured with all services alive.
    """

    def __init__(
        self, suite: Suite, ledger: Ledger, sending: Sending, say: Callable[[str], None]
    ) -> None:
        self.recoveries: list[Recovery] = []
        self._suite = suite
        self._ledger = ledger
        self._sending = sending
        self._say = say
        self._outage: asyncio.Task[None] | None = None
        self._acts: dict[asyncio.Task[None], str] = {}
        self._calm = asyncio.Event()
        self._calm.set()

    async def go(self, events: Sequence[Event]) -> None:
        """Do all of them; at the end all is mended, and every service is alive."""
        try:
            for event in events:
                act = ACTS[event.act]
                if act.outage:
                    await self._outage_is_over()
                    self._outage = asyncio.create_task(self._break(act, event))
                else:
                    await self._calm.wait()
                    await self._do(act, event)
                await asyncio.sleep(event.pause)
            await self._outage_is_over()
            await self._settle()
        finally:
            for task in (*self._acts, *([self._outage] if self._outage else [])):
                task.cancel()

    async def _do(self, act: Act, event: Event) -> None:
        """An act that is no outage, in the background. No kind of service is wholly away for it."""
        kind = event.target.partition("-")[0]
        if kind:
            await self._settle(kind)
        self._say(str(event))
        task = asyncio.create_task(self._hold(act, event))
        self._acts[task] = kind

    async def _hold(self, act: Act, event: Event) -> None:
        async with act.broken(self._suite, event):
            await asyncio.sleep(event.seconds)

    async def _break(self, act: Act, event: Event) -> None:
        """An outage, with pictures to be sent before and in it, until work goes on after it."""
        try:
            await self._until_recovered(act, event)
        finally:
            self._calm.set()

    async def _until_recovered(self, act: Act, event: Event) -> None:
        if act.brief:
            await self._be_calm()
        await self._hand_over()
        self._say(f"{event}: broken for {event.seconds} s")
        began = time.monotonic()
        async with act.broken(self._suite, event):
            self._sending.release()
            await asyncio.sleep(event.seconds)
            if not act.brief:
                await self._be_calm()
        recovery = await watch(act, self._ledger, self._count_sent, began)
        self.recoveries.append(recovery)
        went_on = "not in time" if recovery.seconds is None else f"after {recovery.seconds:.1f} s"
        self._say(f"{event}: mended, {recovery.waited} waited, work went on {went_on}")
        await self._suite.redis.make_whole()

    async def _hand_over(self) -> None:
        """Let a slice of pictures be sent, and wait until it was (or Redis is full)."""
        before = len(self._sending.sent)
        self._sending.release()
        try:
            await wait_until(
                lambda: len(self._sending.sent) > before or self._sending.ended,
                "pictures were sent",
                HANDED_OVER_SECONDS,
            )
        except AssertionError as error:
            self._say(str(error))

    async def _be_calm(self) -> None:
        """No other act from here to the recovery, and every service lives."""
        self._calm.clear()
        await self._settle()

    async def _settle(self, kind: str = "") -> None:
        """Wait until no act on services (of this kind) is under way, and they are alive."""
        ours = [task for task, its_kind in self._acts.items() if its_kind.startswith(kind)]
        for task in ours:
            await task
            self._acts.pop(task, None)
        await self._suite.all_alive(kind)

    async def _outage_is_over(self) -> None:
        if self._outage is not None:
            await self._outage
            self._outage = None

    def _count_sent(self, way: Way | None) -> int:
        return sum(way in (None, self._sending.way[name]) for name in self._sending.sent)
