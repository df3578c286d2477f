"""`python -m tests.chaos.failover`: the primary killed under load, again and again.

A primary, a replica and three Sentinels on loopback, services behind them. Before each kill the
replica hears nothing for a while, as over a link that stalls: whatever Redis acknowledged in that
time is lost with the primary. Counted are plain additions that were lost (with and without
`min-replicas-to-write`), and the suite's pictures before and after one `faces submit --missing`.
"""

import argparse
import asyncio
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path

from redis.exceptions import RedisError

from services.cli.sending.parts import Submission
from shared.catalog import Catalog, Filter
from shared.errors import Unreachable
from shared.messages import Status
from shared.model_table import MODELS
from shared.recipe import Recipe
from shared.settings import Settings
from shared.streams.client import connect
from shared.streams.keys import Keys
from shared.streams.producer import Producer
from shared.streams.topology import read_by_services
from tests.chaos.pictures import make_pictures
from tests.chaos.servers import Service
from tests.support.entries import nothing_left
from tests.support.proxy import Proxy
from tests.support.sentinel import Replicated
from tests.support.servers import RedisServer
from tests.support.waiting import wait_until

SERVICES = ("ingest", "detector-1", "detector-2", "writer")
FOLDER_SIZE = 10
PROBES = "probes"
LIMIT_SECONDS = 600.0
SAFE = ("--min-replicas-to-write", "1", "--min-replicas-max-lag", "2")


@dataclass(frozen=True)
class Plan:
    """One run. `held_seconds`: how long the replica hears nothing before each kill."""

    seed: int
    images: int
    kills: int
    held_seconds: float
    safe: bool
    folder: Path


@dataclass
class Counts:
    """What one run has counted."""

    submitted: int
    acknowledged: int = 0
    """Plain additions of a client that waits for no replica."""
    acknowledged_lost: int = 0
    lost_before: int = 0
    """Pictures without an end, once nothing is under way any more."""
    missing: dict[str, int] = field(default_factory=dict)
    """What `faces submit --missing --json` printed."""
    lost: int = 0
    doubled: int = 0
    failed_wrongly: int = 0
    seconds_to_next_row: list[float] = field(default_factory=list)

    def __str__(self) -> str:
        pauses = ", ".join(f"{one:.1f}" for one in self.seconds_to_next_row)
        return (
            f"plain additions: {self.acknowledged} acknowledged, {self.acknowledged_lost} lost; "
            f"pictures: {self.submitted} submitted, {self.lost_before} without an end before "
            f"--missing {json.dumps(self.missing)}; after it {self.lost} lost, {self.doubled} "
            f"doubled, {self.failed_wrongly} failed wrongly; from each kill to the next row: "
            f"{pauses} s"
        )


class Failovers:
    """A suite behind Sentinel whose primary is killed."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.inputs = plan.folder / "inputs"
        self.inputs.mkdir(parents=True)
        self.servers = Replicated(plan.folder / "redis", *(SAFE if plan.safe else ()))
        self.pictures = list(make_pictures(plan.images, plan.seed))
        self.counts = Counts(len(self.pictures))
        self.environment = {
            "FACES_REDIS_URL": self.servers.url,
            "FACES_DATABASE_URL": f"sqlite:///{plan.folder}/faces.db",
            "FACES_OBJECTS_URL": f"file://{plan.folder}/objects",
            "FACES_SOURCE_ROOTS": str(self.inputs),
            "FACES_MODEL": "haar",
            "FACES_SLOTS": "1",
            "FACES_LEASE_SECONDS": "5",
            "FACES_HIGH_WATER": "200",
            "FACES_LOG_FORMAT": "json",
        }
        self.settings = Settings.load(
            {name.removeprefix("FACES_").lower(): value for name, value in self.environment.items()}
        )

    async def run(self) -> Counts:
        """The whole run; every process started here has ended when it returns."""
        async with AsyncExitStack() as opened:
            self.proxies = [
                await opened.enter_async_context(Proxy(server.port))
                for server in self.servers.servers
            ]
            self.servers.ports = [proxy.port for proxy in self.proxies]
            opened.callback(self.servers.stop)
            await asyncio.to_thread(self.servers.start)
            await opened.enter_async_context(self._services())
            client = connect(self.settings.redis_url)
            opened.push_async_callback(client.aclose)
            self.client, self.keys = client, Keys(self.settings.prefix)
            self.catalog = await Catalog.open(self.settings.database_url.get_secret_value())
            opened.push_async_callback(self.catalog.close)
            async with asyncio.TaskGroup() as tasks:
                submitting = tasks.create_task(self._submit())
                probing = tasks.create_task(self._probe())
                for kill in range(self.plan.kills):
                    share = 2 * (kill + 1) / (3 * (self.plan.kills + 1))
                    await self._ended(int(share * self.plan.images))
                    await self._fail_over()
                await submitting
                probing.cancel()
            await self._judge()
        return self.counts

    @asynccontextmanager
    async def _services(self) -> AsyncIterator[None]:
        services = [Service(name, self.environment, self.plan.folder) for name in SERVICES]
        try:
            for service in services:
                service.start()
            yield
        finally:
            for service in services:
                service.send(signal.SIGTERM)
            for service in services:
                await asyncio.to_thread(service.wait, 40)

    async def _submit(self) -> None:
        """A folder a time, all through the run."""
        recipe = Recipe(model="haar", model_version=MODELS["haar"].version)
        submission = Submission(Producer(self.client, self.settings), recipe, "failover")
        for first in range(0, len(self.pictures), FOLDER_SIZE):
            folder = self.inputs / f"{first:06}"
            folder.mkdir()
            for one in self.pictures[first : first + FOLDER_SIZE]:
                (folder / one.name).write_bytes(one.content)
            while True:
                try:
                    await submission.add_path(folder)
                    break
                except Unreachable as error:  # as a person would, who is told that
                    print(f"again: {error}", file=sys.stderr)
            await self._ended(first - 2 * self.settings.high_water)
        await submission.close()

    async def _probe(self) -> None:
        """Plain additions, one after the other, as any client makes them: at most 100 a second."""
        client = connect(self.settings.redis_url)
        self.probed: list[int] = []
        number = 0
        try:
            while True:
                number += 1
                try:
                    await client.sadd(PROBES, number)
                except RedisError:
                    await asyncio.sleep(0.05)
                    continue
                self.probed.append(number)
                await asyncio.sleep(0.01)
        finally:
            await client.aclose()

    async def _fail_over(self) -> None:
        primary = await asyncio.to_thread(lambda: self.servers.primary)
        assert primary is not None
        proxy = self.proxies[self.servers.servers.index(primary)]
        proxy.holds_replicas = True
        await asyncio.sleep(self.plan.held_seconds)
        before = await self._count_ended()
        primary.kill()
        proxy.cut_all()
        proxy.holds_replicas = False
        # With one replica and `min-replicas-to-write` nothing is written before it is back.
        await asyncio.gather(self._time_to_row(before + 1), self._mend(primary))

    async def _time_to_row(self, count: int) -> None:
        began = time.monotonic()
        await self._ended(min(count, self.plan.images))
        self.counts.seconds_to_next_row.append(time.monotonic() - began)

    async def _mend(self, killed: RedisServer) -> None:
        await asyncio.to_thread(self.servers.wait_for_failover, killed)
        await asyncio.to_thread(self.servers.rejoin, killed)

    async def _judge(self) -> None:
        counts = self.counts
        await wait_until(self._is_quiet, "nothing is under way", LIMIT_SECONDS)
        kept = {int(one) for one in await self.client.smembers(PROBES)}
        counts.acknowledged = len(self.probed)
        counts.acknowledged_lost = len(set(self.probed) - kept)
        counts.lost_before = self.plan.images - len(await self._ends())
        counts.missing = await asyncio.to_thread(self._missing)
        await wait_until(self._is_quiet, "nothing is under way", LIMIT_SECONDS)
        ends = await self._ends()
        broken = {picture.name for picture in self.pictures if picture.broken}
        counts.lost = self.plan.images - len(ends)
        counts.doubled = sum(len(found) - 1 for found in ends.values())
        counts.failed_wrongly = sum(
            (status is Status.FAILED) != (name in broken)
            for name, found in ends.items()
            for status in found
        )

    def _missing(self) -> dict[str, int]:
        done = subprocess.run(
            [sys.executable, "-m", "services.cli", "submit", "--missing", "--json"],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode in (0, 3), done.stderr
        told: dict[str, int] = json.loads(done.stdout)
        return told

    async def _ends(self) -> dict[str, list[Status]]:
        """Of each picture that has ended, how: once, unless it was doubled."""
        ends: dict[str, list[Status]] = {}
        async for row in self.catalog.reader.results(Filter()):
            if row.status is not Status.QUEUED:
                ends.setdefault(row.name, []).append(row.status)
        return ends

    async def _count_ended(self) -> int:
        return sum(len(found) for found in (await self._ends()).values())

    async def _ended(self, count: int) -> None:
        async def reached() -> bool:
            return await self._count_ended() >= count

        await wait_until(reached, f"{count} rows", LIMIT_SECONDS)

    async def _is_quiet(self) -> bool:
        try:
            return all(
                [
                    await nothing_left(self.client, self.keys, kind.name)
                    for kind in read_by_services()
                ]
            )
        except RedisError:
            return False


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos.failover", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--images", type=int, default=1500)
    parser.add_argument("--kills", type=int, default=3)
    parser.add_argument("--held", type=float, default=4.0, help="seconds without replication")
    options = parser.parse_args()
    kept = True
    for safe in (False, True):
        folder = Path(tempfile.mkdtemp(prefix="faces-failover-"))
        plan = Plan(options.seed, options.images, options.kills, options.held, safe, folder / "run")
        counts = asyncio.run(Failovers(plan).run())
        print(f"{'with' if safe else 'without'} min-replicas-to-write: {counts}", flush=True)
        whole = Counter(lost=counts.lost, doubled=counts.doubled, wrong=counts.failed_wrongly)
        if any(whole.values()):
            kept = False
            print(f"logs: {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if kept else 1


if __name__ == "__main__":
    sys.exit(main())
