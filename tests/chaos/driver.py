"""A chaos run: submit, break, mend, wait for the end, judge."""

import asyncio
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.catalog import Catalog
from shared.errors import FacesError
from shared.reasons import REVIVED
from shared.settings import Settings
from shared.streams.keys import IMAGES, RESULTS, SOURCES, Keys
from tests.chaos.acts import ACTS
from tests.chaos.acts.act import Event
from tests.chaos.course import Course
from tests.chaos.ledger import Ledger
from tests.chaos.pictures import make_pictures
from tests.chaos.sending import Sending
from tests.chaos.suite import STORE, Suite
from tests.chaos.verdict import Verdict, judge
from tests.support.waiting import wait_until

RECOVERY_SECONDS = 180.0


@dataclass(frozen=True)
class Plan:
    """One run: how many pictures, and what is broken meanwhile."""

    seed: int
    images: int
    events: Sequence[Event]
    folder: Path
    postgres: bool
    replicated: bool
    talk: bool = False


class Chaos:
    """A suite on servers of its own, and all that is done to it."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.suite = Suite(plan.folder, postgres=plan.postgres, replicated=plan.replicated)
        self._began = time.monotonic()
        self.keys = Keys(Settings.load({}).prefix)

    async def run(self) -> Verdict:
        """The whole run; every process started here has ended when it returns."""
        self.pictures = list(make_pictures(self.plan.images, self.plan.seed))
        try:
            await self.suite.start()
            self.ledger = Ledger(self.suite.catalog_url)
            # Before and during each outage pictures are sent, so that it has something to hold up.
            slices = 2 * sum(ACTS[event.act].outage for event in self.plan.events) + 1
            self.sending = Sending(self.suite, self.pictures, slices)
            self.sending.start()
            try:
                return await self._through_the_schedule()
            finally:
                await self.sending.close()
                await self.ledger.close()
        finally:
            await self.suite.stop()

    async def _through_the_schedule(self) -> Verdict:
        course = Course(self.suite, self.ledger, self.sending, self._say)
        await course.go(self.plan.events)
        submissions = await self.sending.finish()
        began = time.monotonic()
        self._say("all is mended; waiting for the end")
        failovers, lost_before = await self.suite.redis.failovers(), 0
        if failovers:
            await self._until_quiet()
            lost_before = len(await self._not_ended())
            self._say(f"{failovers} failovers lost {lost_before} pictures")
            submissions = await self._mend_losses()
        await self._until_complete(submissions)
        await self._until_quiet()
        client = self.suite.redis.client(await self.suite.redis.primary())
        try:
            rows = await self.ledger.rows()
            stored = self.suite.s3.buckets[STORE].keys()
            verdict = await judge(self.pictures, rows, stored, client, self.keys)
        finally:
            await client.aclose()
        verdict.seconds_to_recover = time.monotonic() - began
        verdict.redelivered = self.suite.redelivered
        verdict.ended_by_themselves = list(self.suite.ended_by_themselves)
        verdict.recoveries = course.recoveries
        verdict.failovers = failovers
        verdict.lost_before = lost_before
        return verdict

    async def _mend_losses(self) -> list[str]:
        """As the documents say: `faces submit --missing`, then what the sender alone has."""
        command = (sys.executable, "-m", "services.cli", "submit", "--missing")
        process = await asyncio.create_subprocess_exec(
            *command,
            env={**os.environ, **self.suite.environment},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.STDOUT,
        )
        said, _ = await process.communicate()
        self._say(f"submit --missing, status {process.returncode}: {said.decode().strip()}")
        await self._until_quiet()
        return await self.sending.again(self.pictures, await self._not_ended())

    async def _not_ended(self) -> set[str]:
        """The pictures that have no row that has ended, or one that asks to be sent again."""
        ended = {
            row.name for row in await self.ledger.rows() if row.ended and row.code not in REVIVED
        }
        return {picture.name for picture in self.pictures} - ended

    async def _until_complete(self, submissions: Sequence[str]) -> None:
        catalog = await Catalog.open(self.suite.catalog_url)

        async def complete() -> bool:
            try:
                return all([(await catalog.reader.submission(one)).complete for one in submissions])
            except FacesError:  # it does not know one of them yet
                return False

        try:
            await wait_until(complete, "the ledger says that all is done", RECOVERY_SECONDS)
        finally:
            await catalog.close()

    async def _until_quiet(self) -> None:
        """Wait until no stream and no waiting set holds anything."""
        client = self.suite.redis.client(await self.suite.redis.primary())

        async def quiet() -> bool:
            held = 0
            for name in (SOURCES, IMAGES, RESULTS):
                held += await client.xlen(self.keys.stream(name))
                held += await client.zcard(self.keys.due(name))
            return held == 0

        try:
            await wait_until(quiet, "nothing is under way", RECOVERY_SECONDS)
        finally:
            await client.aclose()

    def _say(self, what: str) -> None:
        if self.plan.talk:
            seconds = time.monotonic() - self._began
            print(f"chaos: {seconds:5.1f} s: {what}", file=sys.stderr, flush=True)
