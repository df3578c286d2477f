"""A hostile run: real pictures, and beside them all that a stranger may do; then a verdict."""

import asyncio
import random
import shutil
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from services.cli.sending.parts import Submission
from services.detector.models import load
from services.detector.picture import process
from shared.errors import FacesError
from shared.identity import inline_id
from shared.settings import Settings
from shared.streams.client import connect
from shared.streams.keys import DEAD, IMAGES, RESULTS, SOURCES, Keys
from shared.streams.producer import Producer
from tests.chaos.pictures import Picture, make_pictures
from tests.chaos.servers import Postgres
from tests.chaos.suite import Suite
from tests.hostile.kinds import KINDS
from tests.hostile.memory import Watch, cluster_settings
from tests.hostile.reach import RECIPE, Reach
from tests.hostile.verdict import Verdict, fates_of, judge_rows, rows_of
from tests.support.entries import entries_in
from tests.support.pictures import LIMITS
from tests.support.waiting import wait_until

SERVICES = ("ingest-1", "detector-1", "writer-1")
"""One of each, so that each meets everything."""

SLICES = 10
"""Real pictures are sent in so many, between the hostile things."""


@dataclass(frozen=True)
class Plan:
    """One run. `only` names kinds; all of them if it is empty. After `seconds` it is given up."""

    folder: Path
    messages: int
    images: int
    seed: int
    seconds: float
    only: Sequence[str] = ()


class HostileRun:
    """A suite on servers of its own, its real pictures, and a stranger."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._suite = Suite(
            plan.folder,
            postgres=Postgres.available(),
            replicated=False,
            services=SERVICES,
            **{**cluster_settings(), "high_water": "2000"},
        )
        self._pictures = list(make_pictures(plan.images, plan.seed))
        self._keys = Keys(Settings.load({}).prefix)
        self._verdict = Verdict()
        self._refused = "nothing"

    async def run(self) -> Verdict:
        """The whole run; every process started here has ended when it returns."""
        began = time.monotonic()
        expected = await asyncio.to_thread(_faces_of, self._pictures)
        try:
            await self._suite.start()
            watch = Watch(self._suite.services)
            client = self._suite.redis.client(0)
            reach = self._reach(client)
            try:
                await self._until_the_end(reach, began + self._plan.seconds)
            finally:
                self._verdict.held = await watch.close()
            await self._judge(reach, expected)
            await client.aclose()
        finally:
            await self._suite.stop()
        self._verdict.seconds = time.monotonic() - began
        return self._verdict

    def _reach(self, client: Redis) -> Reach:
        sent_along = [one for one in self._pictures if not _in_folder(one)]
        real = [inline_id(one.name, one.content) for one in sent_along]
        return Reach(client, self._keys, random.Random(self._plan.seed), real)

    async def _until_the_end(self, reach: Reach, over: float) -> None:
        """Send everything, and wait until all of it has an end; note what does not come."""

        async def has_ended() -> bool:
            return not (await self._held(reach.client) or await self._not_ready())

        try:
            async with asyncio.timeout(over - time.monotonic()):
                await self._send(reach)
            await wait_until(has_ended, "all has an end", max(1.0, over - time.monotonic()))
        except (TimeoutError, AssertionError) as error:
            self._verdict.wrong.append(
                f"{'not all was sent' if isinstance(error, TimeoutError) else 'it does not end'}: "
                f"after {self._plan.seconds:g} s {await self._held(reach.client)} are left, and "
                f"these are not ready: {await self._not_ready()}; refused last: {self._refused}"
            )

    async def _send(self, reach: Reach) -> None:
        order = list(_schedule(self._plan, reach.chance))
        client = connect(Settings.load({"redis_url": self._suite.redis.url}).redis_url)
        try:
            producer = Producer(client, Settings.load({"redis_url": self._suite.redis.url}))
            submission = Submission(producer, RECIPE, "real")
            put_off: list[str] = []
            for number in range(SLICES):
                real = asyncio.create_task(
                    self._send_slice(submission, self._pictures[number::SLICES], number)
                )
                put_off += [kind for kind in order[number::SLICES] if not await _done(reach, kind)]
                await real
            for kind in put_off:
                reach.kind = kind
                await self._until_taken(partial(KINDS[kind].act, reach))
            await self._until_taken(submission.close)
        finally:
            await client.aclose()

    async def _send_slice(
        self, submission: Submission, pictures: Sequence[Picture], number: int
    ) -> None:
        """One half by reference to a folder, the other with their bytes."""
        folder = self._suite.inputs / f"{number:04}"
        folder.mkdir()
        sent_along = []
        for one in pictures:
            if _in_folder(one):
                (folder / one.name).write_bytes(one.content)
            else:
                sent_along.append((one.name, one.content))
        await self._until_taken(partial(submission.add_path, folder))
        if sent_along:
            await self._until_taken(partial(submission.add_pictures, sent_along))

    async def _until_taken(self, send: Callable[[], Awaitable[None]]) -> None:
        """Send once more as long as Redis refuses it, as people would; the run's time bounds it."""
        while True:
            try:
                return await send()
            except (FacesError, RedisError) as error:
                self._refused = str(error)
            await asyncio.sleep(0.2)

    async def _held(self, client: Redis) -> dict[str, int]:
        """What is still under way, by stream."""
        held = {}
        for name in (SOURCES, IMAGES, RESULTS):
            with suppress(RedisError):
                if length := await client.xlen(self._keys.stream(name)):
                    held[name] = length
            with suppress(RedisError):
                if length := await client.zcard(self._keys.due(name)):
                    held[f"{name} put off"] = length
        return held

    async def _not_ready(self) -> list[str]:
        return [name for name, ready in (await self._suite.ready()).items() if not ready]

    async def _judge(self, reach: Reach, expected: dict[str, int | None]) -> None:
        verdict = self._verdict
        rows = await rows_of(self._suite.catalog_url)
        letters = {
            fields.get(b"m", b"")
            for _, fields in entries_in(await reach.client.xrange(self._keys.stream(DEAD)))
        }
        verdict.rows = len(rows)
        verdict.wrong += judge_rows(expected, RECIPE.id, rows, reach.sent)
        verdict.fates = fates_of(reach.sent, rows, letters)
        for service in self._suite.services.values():
            if not service.alive:
                verdict.wrong.append(f"{service.name} ended by itself: see {service.log}")
        verdict.wrong += [
            f"{one.name} held {one.peak >> 20} MiB of the {one.limit >> 20} it may"
            for one in verdict.held
            if one.over
        ]


async def _done(reach: Reach, kind: str) -> bool:
    """Do it; False where what was done before stands in the stranger's way."""
    reach.kind = kind
    try:
        await KINDS[kind].act(reach)
    except RedisError:
        return False
    return True


def _in_folder(picture: Picture) -> bool:
    return int(picture.name.partition(".")[0]) % 2 == 0


def _schedule(plan: Plan, chance: random.Random) -> Iterator[str]:
    """The kinds in random order: each that is done a few times only once for sure, the others
    again and again."""
    chosen = {name: kind for name, kind in KINDS.items() if not plan.only or name in plan.only}
    order = list(chosen)
    counts = dict.fromkeys(chosen, 1)
    names = list(chosen)
    while len(order) < plan.messages and names:
        name = chance.choice(names)
        most = chosen[name].most
        if most is not None and counts[name] >= most:
            names.remove(name)
            continue
        counts[name] += 1
        order.append(name)
    chance.shuffle(order)
    yield from order


def _faces_of(pictures: Sequence[Picture]) -> dict[str, int | None]:
    """How many faces each shows, searched in this process; None: it is no picture."""
    model = load("haar", Path())
    expected: dict[str, int | None] = {}
    for one in pictures:
        done = process(one.content, RECIPE, model, LIMITS)
        expected[one.name] = None if one.broken else len(done.faces)
    return expected


def clean(folder: Path) -> None:
    """Remove what a run left."""
    shutil.rmtree(folder, ignore_errors=True)
