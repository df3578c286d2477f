"""The stage runner: a consumer of one group that reads, handles, hands off and drains.

A service gives it a function from messages to outcomes; everything about delivery is here and in
the modules beside this one. `Stage.run` reads as the list of what goes on at the same time.
"""

import asyncio
import math
import os
import random
import secrets
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Generic

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.health import Health
from shared.metrics import REDELIVERED
from shared.settings import Settings
from shared.streams.attempts import FailedAttempts
from shared.streams.batching import HandOffBatching
from shared.streams.cancellation import happens_within, is_cancelled
from shared.streams.client import BLOCK_MS, SILENT_SECONDS, check, connect
from shared.streams.dead_bounds import DeadBounds
from shared.streams.entries import Membership
from shared.streams.handoff import HandOff
from shared.streams.high_water import HighWaterMarks
from shared.streams.intake import CLAIM_AT_MOST, READ_BYTES, Intake
from shared.streams.keys import DEAD, Keys
from shared.streams.later import WaitingSets
from shared.streams.leases import Batches, Leases
from shared.streams.mending import Mending
from shared.streams.outage import Outage
from shared.streams.scripts import Scripts
from shared.streams.settling import Settling
from shared.streams.stage import M, StageSpec
from shared.streams.upkeep import RENEWALS_A_LEASE, Upkeep

RECLAIM_SECONDS = 2.0
"""Longest time between two looks for abandoned entries; one costs Redis some ten microseconds."""

READ_AT_MOST = 500
PARTING_SECONDS = 2.0
"""What the end of a stage may take beyond its drain, where Redis is silent."""

LOOK_TICK_SECONDS = 0.05
"""Looks for entries that are due fall on multiples of this."""

log = structlog.get_logger()


class Stage(Generic[M]):
    """One consumer of a service's group, from joining to leaving."""

    def __init__(
        self,
        spec: StageSpec[M],
        settings: Settings,
        client: Redis,
        reader: Redis,
        health: Health,
    ) -> None:
        """`reader` is a client of its own: its blocking reads would hold others up."""
        keys = Keys(settings.prefix)
        self.spec = spec
        self.consumer = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._settings = settings
        self._client = client
        self._scripts = Scripts(client, keys)
        self._membership = Membership(
            keys.stream(spec.stream), spec.name, self.consumer, keys.history(spec.stream)
        )
        lease_ms = int(settings.lease_seconds * 1000)
        self._intake = Intake(reader, self._scripts, self._membership, lease_ms)
        self._leases = Leases(self._scripts, self._membership, lease_ms, spec.capacity())
        self._batches = Batches(spec.batch, spec.linger)
        self._keys = keys
        self._health = health
        self._servers = Outage(spec.name, health)
        self._reading = Outage(spec.name, health, "reading")
        self._reclaiming = Outage(spec.name, health, "reclaiming")
        self._output = Outage(spec.name, health, "output")
        self._stopping = asyncio.Event()
        self._look = asyncio.Event()
        self._looks: set[int] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Work until `stop` is set, then drain: finish what was started, give back the rest.

        What no task foresaw ends all of them: others take over what was held here.
        """
        self._stopping = stop
        # A server that answers may still refuse what a consumer needs: ready only after that.
        joining = f"{self.spec.name} joining"
        self._health.starting(joining)
        await self._servers.until_done(self._intake.join, stop)
        marks = await self._servers.until_done(
            partial(HighWaterMarks.of, self._client, self._settings), stop
        )
        if marks is None:
            return
        handoff = HandOff(self._client, self._scripts, self._keys, marks, self._membership)
        batching = HandOffBatching(
            handoff,
            self.spec.handoff_pause,
            enough=max(1, self.spec.concurrency // 2),
            held=lambda: len(self._leases),
        )
        mending = Mending(self._client, self._keys, own=self.spec.stream)
        settling = self._settling(marks, batching, mending)
        upkeep = Upkeep(
            self.spec,
            self._settings,
            self._client,
            self._membership,
            self._intake,
            self._leases,
            DeadBounds(self._client, self._keys, marks.of_stream(DEAD)),
            mending,
            self._health,
        )
        bound = marks.of_stream(self.spec.stream).entries
        waiting = WaitingSets(self._client, self._keys, self.spec.stream, bound)
        self._servers.ready()
        self._health.ready(joining)
        log.info("consuming", stage=self.spec.name, consumer=self.consumer)
        try:
            async with asyncio.TaskGroup() as tasks:
                begin = partial(self._begin, tasks)
                keeping = [begin(upkeep.renew_leases), begin(upkeep.look_after)]
                sources = [begin(self._read), begin(partial(self._reclaim, waiting))]
                work = partial(self._work, settling)
                workers = [begin(work) for _ in range(self.spec.concurrency)]
                await stop.wait()
                await self._drain(sources, workers)
                await batching.close()
                for task in keeping:
                    task.cancel()
        except Exception:  # whatever ended it: others get at once what is held here
            await self._leave()
            raise
        await self._leave()

    def _begin(
        self, tasks: asyncio.TaskGroup, activity: Callable[[], Awaitable[None]]
    ) -> "asyncio.Task[None]":
        """Run an activity; where it fails, no other goes on, whatever it waits for."""

        async def watched() -> None:
            try:
                await activity()
            except Exception:  # whatever nobody foresaw: none of the others may wait for ever
                self._stopping.set()
                self._batches.close()
                self._look.set()
                self._leases.wake()
                raise

        return tasks.create_task(watched())

    def _settling(
        self, marks: HighWaterMarks, batching: HandOffBatching, mending: Mending
    ) -> Settling[M]:
        return Settling(
            self.spec,
            batching,
            FailedAttempts(self._scripts, marks, self._membership, self._settings),
            self._leases,
            self._servers,
            self._settings,
            self._scripts,
            self._membership,
            self._output,
            mending,
            self._look_again_in,
        )

    async def _read(self) -> None:
        """Read new entries, never more than can be started soon."""
        while not self._stopping.is_set():
            room = await self._leases.wait_for_room(self._stopping)
            if self._stopping.is_set():
                return
            read = partial(self._intake.read, min(room, READ_AT_MOST))
            entries = await self._reading.attempt(read, self._stopping)
            self._batches.put(self._leases.take(entries or ()))

    async def _reclaim(self, waiting: WaitingSets) -> None:
        """Take over what others let lapse or gave back, and what was put back for a retry."""
        interval = min(RECLAIM_SECONDS, self._settings.lease_seconds / RENEWALS_A_LEASE)
        while not self._stopping.is_set():
            look = partial(self._look_for_work, waiting)
            await self._reclaiming.attempt(look, self._stopping)
            # Not in step with others: of two that look, each must be the first to see some
            # entries, or one that cannot read them (an older version) would take them for ever.
            pause = random.uniform(interval / 2, interval)  # noqa: S311 - spreads, hides nothing
            await happens_within(self._look, pause)
            self._look.clear()

    async def _look_for_work(self, waiting: WaitingSets) -> None:
        """Put back what was put off and is due, whoever did that; then take over what lapsed."""
        if returned := await waiting.bring_back_unasked() + await waiting.return_due():
            log.info("back from waiting", stage=self.spec.name, entries=returned)
        while not self._stopping.is_set() and (room := self._leases.room) > 0:
            # Or this consumer would reclaim from itself, where the event loop or Redis stood
            # still for long; else upkeep has renewed them.
            await self._leases.renew_unless_within(self._settings.lease_seconds / 2)
            entries = await self._intake.reclaim(min(room, CLAIM_AT_MOST))
            if entries:
                log.info("reclaimed", stage=self.spec.name, entries=len(entries))
                REDELIVERED.labels(self.spec.name).inc(len(entries))
                self._batches.put(self._leases.take(entries))
            if self._intake.scanned_all:
                return

    def _look_again_in(self, seconds: float) -> None:
        """An entry was put back: look for it when its delay is over, not a quarter lease later.

        Many that are due at about the same time are looked for once.
        """
        loop = asyncio.get_running_loop()
        tick = math.ceil((loop.time() + seconds) / LOOK_TICK_SECONDS)
        if tick not in self._looks:
            self._looks.add(tick)
            loop.call_at(tick * LOOK_TICK_SECONDS + 0.01, self._look_at, tick)

    def _look_at(self, tick: int) -> None:
        self._looks.discard(tick)
        self._look.set()

    async def _work(self, settling: Settling[M]) -> None:
        """Handle batch after batch until there are none left after a stop."""
        while not is_cancelled() and (batch := await self._batches.next()):
            await settling.handle_and_settle(batch)

    async def _drain(
        self, sources: Sequence["asyncio.Task[None]"], workers: Sequence["asyncio.Task[None]"]
    ) -> None:
        """Stop reading, give back what was not started, finish the rest in time."""
        log.info("draining", stage=self.spec.name, held=len(self._leases))
        limit = asyncio.get_running_loop().time() + self._settings.drain_seconds
        with suppress(TimeoutError):
            async with asyncio.timeout(max(PARTING_SECONDS, self._settings.drain_seconds)):
                await self._stop_reading(sources)
                await asyncio.wait(workers, timeout=limit - asyncio.get_running_loop().time())
        late = [task for task in (*workers, *sources) if not task.done()]
        for task in late:
            log.warning("drain limit reached; others will finish this", stage=self.spec.name)
            task.cancel()
        if late:
            await asyncio.wait(late)

    async def _stop_reading(self, sources: Sequence["asyncio.Task[None]"]) -> None:
        """End the reads; what was read and not started is given back.

        A read in flight is not cancelled, unless Redis has fallen silent: see `Intake.read`.
        """
        unstarted = self._batches.close()
        self._look.set()
        self._leases.wake()
        await self._intake.stop_waiting()
        await self._leases.give_back(unstarted)
        await asyncio.wait(sources)
        await self._leases.give_back(self._batches.close())

    async def _leave(self) -> None:
        """Give back what is still held; a Redis that is silent now is not waited for."""
        with suppress(RedisError, TimeoutError):  # the lease ends by itself, and others tidy up
            async with asyncio.timeout(PARTING_SECONDS):
                await self._leases.give_back_all()
                await self._scripts.leave(self._membership)
        log.info("left", stage=self.spec.name, consumer=self.consumer)


@asynccontextmanager
async def open_stage_of(
    spec: StageSpec[M], settings: Settings, health: Health, client: Redis
) -> AsyncIterator[Stage[M]]:
    """A stage with a connection of its own for reading; `client` serves everything else."""
    seconds = BLOCK_MS / 1000 + SILENT_SECONDS
    reader = connect(settings.redis_url, timeout=seconds, reply_limit=READ_BYTES)
    try:
        async with health.needs({"Redis": partial(check, client)}):
            yield Stage(spec, settings, client, reader, health)
    finally:
        await reader.aclose()
