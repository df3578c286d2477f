"""Running a suite through a schedule: submit, break, mend, wait for the end, judge."""

import asyncio
import json
import signal
import sys
import time
from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path

from services.cli.sending.parts import Submission
from shared.catalog import Catalog
from shared.errors import Unreachable
from shared.model_table import MODELS
from shared.recipe import Recipe
from shared.settings import Settings
from shared.streams.client import connect
from shared.streams.keys import Keys
from shared.streams.producer import Producer
from tests.chaos.pictures import Picture, make_pictures
from tests.chaos.schedule import SERVICES, Act, Event
from tests.chaos.servers import Postgres, Service
from tests.chaos.verdict import Verdict, judge
from tests.support.proxy import Proxy
from tests.support.servers import RedisServer, installed_redis
from tests.support.waiting import wait_until

LEASE_SECONDS = 3.0
RECOVERY_SECONDS = 180.0
INLINE_BATCH = 20


@dataclass(frozen=True)
class Plan:
    """One run: how many pictures, and what is broken meanwhile."""

    seed: int
    images: int
    events: Sequence[Event]
    folder: Path
    postgres: bool
    talk: bool = False


class Chaos:
    """A suite of seven services on servers of its own, behind a proxy."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.objects = plan.folder / "objects"
        self.inputs = plan.folder / "inputs"
        self.logs = plan.folder / "logs"
        for folder in (self.objects, self.inputs, self.logs):
            folder.mkdir(parents=True)
        self.redis = RedisServer(
            plan.folder / "redis", "--appendonly", "yes", binary=installed_redis()
        )
        self.postgres = Postgres() if plan.postgres else None
        self.recipe = Recipe(model="haar", model_version=MODELS["haar"].version)
        self.mending: set[asyncio.Task[None]] = set()

    @property
    def database_url(self) -> str:
        if self.postgres:
            return self.postgres.url
        return f"sqlite:///{self.plan.folder}/faces.db"

    def environment(self, redis_url: str) -> dict[str, str]:
        return {
            "FACES_REDIS_URL": redis_url,
            "FACES_DATABASE_URL": self.database_url,
            "FACES_OBJECTS_URL": f"file://{self.objects}",
            "FACES_SOURCE_ROOTS": str(self.inputs),
            "FACES_MODEL": "haar",
            "FACES_SLOTS": "1",
            "FACES_LEASE_SECONDS": str(LEASE_SECONDS),
            "FACES_DRAIN_SECONDS": "10",
            "FACES_HIGH_WATER": "300",
            "FACES_LOG_FORMAT": "json",
        }

    async def run(self) -> Verdict:
        """The whole run; every process started here has ended when it returns."""
        try:
            self.redis.start()
            if self.postgres:
                self.postgres.create()
            async with Proxy(self.redis.port) as proxy:
                self.proxy = proxy
                environment = self.environment(proxy.url)
                self.services = {name: Service(name, environment, self.logs) for name in SERVICES}
                for service in self.services.values():
                    service.start()
                try:
                    return await self._through_the_schedule()
                finally:
                    for service in self.services.values():
                        service.send(signal.SIGCONT)
                        service.send(signal.SIGTERM)
                    for service in self.services.values():
                        service.wait(15)
        finally:
            self.redis.kill()
            if self.postgres:
                self.postgres.remove()

    async def _through_the_schedule(self) -> Verdict:
        settings = Settings.load({"redis_url": self.redis.url, "high_water": 300})
        client = connect(settings.redis_url)
        pictures = list(make_pictures(self.plan.images, self.plan.seed))
        submitting = asyncio.create_task(self._submit(pictures, settings))
        try:
            for event in self.plan.events:
                await asyncio.sleep(event.pause)
                self._say(str(event))
                await self._do(event)
            submissions = await submitting
            await self._mend()
            began = time.monotonic()
            self._say("all is mended; waiting for the end")
            await self._until_complete(submissions)
            keys = Keys(settings.prefix)
            await wait_until(lambda: self._is_empty(keys), "streams are empty", RECOVERY_SECONDS)
            verdict = await judge(pictures, self.database_url, self.objects, client, keys)
            verdict.seconds_to_recover = time.monotonic() - began
            verdict.redelivered = self._redelivered()
            return verdict
        finally:
            submitting.cancel()
            await client.aclose()

    async def _submit(self, pictures: Sequence[Picture], settings: Settings) -> list[str]:
        """Half by reference, as several folders; half inline; spread over the whole schedule."""
        client = connect(settings.redis_url)
        producer = Producer(client, settings)
        span = sum(event.pause for event in self.plan.events)
        slices = max(1, len(pictures) // INLINE_BATCH)
        referenced = Submission(producer, self.recipe, "by reference")
        inline = Submission(producer, self.recipe, "inline")
        try:
            for number in range(slices):
                part = pictures[number::slices]
                if number % 2:
                    await inline.add_pictures([(one.name, one.content) for one in part])
                else:
                    folder = self.inputs / f"{number:04}"
                    folder.mkdir()
                    for one in part:
                        (folder / one.name).write_bytes(one.content)
                    await referenced.add_path(folder)
                await asyncio.sleep(span / slices)
            await inline.close()
            await referenced.close()
        finally:
            await client.aclose()
        return [referenced.id, inline.id]

    async def _do(self, event: Event) -> None:
        service = self.services.get(event.target)
        match event.act:
            case Act.KILL:
                assert service is not None
                service.send(signal.SIGKILL)
                service.wait(5)
                service.start()
            case Act.TERMINATE:
                assert service is not None
                self._later(self._replace(service))
            case Act.FREEZE:
                assert service is not None
                self._later(self._freeze(service))
            case Act.RESTART_REDIS:
                self.redis.kill()
                await asyncio.sleep(0.3)
                await asyncio.to_thread(self.redis.start)
            case Act.CUT:
                self.proxy.cut_all()
            case Act.LOSE_REPLY:
                self.proxy.lose_next_reply_to(b"EVALSHA")
            case Act.DELAY:
                self._later(self._delay())
            case Act.STOP_POSTGRES:
                if self.postgres:
                    await asyncio.to_thread(self.postgres.stop)
                    await asyncio.sleep(1)
                    await asyncio.to_thread(self.postgres.start)

    async def _replace(self, service: Service) -> None:
        service.send(signal.SIGTERM)
        await asyncio.to_thread(service.wait, 20)
        service.start()

    async def _freeze(self, service: Service) -> None:
        service.send(signal.SIGSTOP)
        await asyncio.sleep(LEASE_SECONDS * 1.5)
        service.send(signal.SIGCONT)

    async def _delay(self) -> None:
        self.proxy.delay = 0.05
        await asyncio.sleep(1)
        self.proxy.delay = 0.0

    def _later(self, mending: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(mending)
        self.mending.add(task)
        task.add_done_callback(self.mending.discard)

    async def _mend(self) -> None:
        """Wait for what is being mended; replace what has died without being told to."""
        while self.mending:
            await asyncio.wait(self.mending)
        for service in self.services.values():
            if not service.alive:
                print(f"chaos: {service.name} had died by itself; see {service.log}")
                service.start()

    async def _until_complete(self, submissions: Sequence[str]) -> None:
        catalog = await Catalog.open(self.database_url)
        try:

            async def complete() -> bool:
                try:
                    return all(
                        [(await catalog.reader.submission(one)).complete for one in submissions]
                    )
                except Unreachable:
                    return False

            await wait_until(complete, "the ledger says that all is done", RECOVERY_SECONDS)
        finally:
            await catalog.close()

    async def _is_empty(self, keys: Keys) -> bool:
        client = connect(Settings.load({"redis_url": self.redis.url}).redis_url)
        try:
            lengths = [await client.xlen(keys.stream(n)) for n in ("sources", "images", "results")]
            return not any(lengths)
        finally:
            await client.aclose()

    def _redelivered(self) -> int:
        total = 0
        for log in self.logs.glob("*.log"):
            for line in log.read_text(errors="replace").splitlines():
                if '"reclaimed"' in line:
                    total += int(json.loads(line)["entries"])
        return total

    def _say(self, what: str) -> None:
        if self.plan.talk:
            print(f"chaos: {what}", file=sys.stderr, flush=True)
