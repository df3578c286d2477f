"""Entries as strangers add them, through real services on a real Redis, beside a real picture."""

import asyncio
import json
import random
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

from services.cli.sending.parts import Submission
from services.detector.service import open_stage as open_detector
from services.ingest.service import open_stage as open_ingest
from services.writer.service import open_stage as open_writer
from shared.catalog import Catalog
from shared.errors import FacesError, LeftToOthers
from shared.health import Health
from shared.identity import inline_id
from shared.messages import Status
from shared.service import OpenStage
from shared.streams.keys import DEAD, IMAGES, RESULTS, SOURCES
from shared.streams.topology import STREAMS
from tests.fuzz.target import Answer, Target, Try
from tests.fuzz.targets import messages
from tests.support.pictures import astronaut, encoded
from tests.support.servers import RedisServer
from tests.support.stages import RECIPE, Running, Suite, suite_on
from tests.support.waiting import wait_until

AN_INPUT = 20
"""Entries of one input; then all of them, and the picture, must have an end."""

ENDED_SECONDS = 60.0

_MADE_OF = {SOURCES: ("source",), IMAGES: ("image",), RESULTS: ("result", "attached")}
_MADE_OF[RESULTS] += ("source-failed",)

_OTHER_FIELDS = ("n", "a", "x", "", "M", "m\0")
_OTHER_VALUES = ("", "0", "-1", "9" * 30, "1e30", "NaN", "\xff\x00", "x" * 10_000)

Fields = dict[str, str]
"""Of an entry; bytes as Latin-1, so that an input can be kept as JSON."""


def make(kind: str, number: int) -> bytes:
    """Entries for a stream, as a JSON list of their fields."""
    chance = random.Random(f"{kind}.{number}")
    made: list[Fields] = []
    while len(made) < AN_INPUT:
        fields: Fields = {}
        if chance.random() < 0.95:
            of = chance.choice(_MADE_OF[kind])
            message = messages.make(of, number * 1000 + len(made) + chance.randrange(100) * 100_000)
            fields["m"] = message.decode("latin-1")
        for _ in range(chance.randrange(3) if fields else 1):
            fields[chance.choice(_OTHER_FIELDS)] = chance.choice(_OTHER_VALUES)
        if not _left(kind, fields):
            made.append(fields)
    return json.dumps(made).encode()


def _left(kind: str, fields: Fields) -> bool:
    """Whether every service of today leaves the entry to those of tomorrow: it would not end."""
    decode = STREAMS[kind].decode
    assert decode is not None
    try:
        decode(fields.get("m", "").encode("latin-1"))
    except LeftToOthers:
        return True
    except FacesError:
        return False
    return False


class _Suite:
    """Ingest, detector and writer as they are, in this process."""

    def __init__(self, suite: Suite, catalog: Catalog, stages: list[Running]) -> None:
        self._suite = suite
        self._catalog = catalog
        self._stages = stages
        self._pictures = 0

    async def try_one(self, kind: str, content: bytes) -> Answer:
        """Add the entries, and a picture behind them; all must have an end."""
        suite = self._suite
        before = await suite.length(DEAD)
        stream = suite.keys.stream(kind)
        for told in json.loads(content):
            fields: Any = {
                name.encode("latin-1"): value.encode("latin-1") for name, value in told.items()
            }
            await suite.client.xadd(stream, fields)
        good = await self._submit()
        try:
            await wait_until(self._all_ended, "all has an end", ENDED_SECONDS)
            await wait_until(lambda: self._is_done(good), "the picture is done", ENDED_SECONDS)
        except AssertionError as error:
            return Answer("stuck", await self._what_is_wrong() or str(error))
        letters = await suite.length(DEAD) - before
        return Answer(f"{letters * 100 // AN_INPUT // 25 * 25}% dead", await self._what_is_wrong())

    async def _submit(self) -> str:
        """Send a picture along, as people do; returns its id."""
        self._pictures += 1  # a name of its own each time, so that nothing is skipped
        picture = (f"{self._pictures}.jpg", encoded(astronaut().resize((128, 100)), "JPEG"))
        submission = Submission(self._suite.producer, RECIPE, "real")
        await submission.add_pictures([picture])
        await submission.close()
        return inline_id(*picture)

    async def _all_ended(self) -> bool:
        return await self._suite.all_streams_empty() or bool(await self._what_is_wrong())

    async def _is_done(self, image: str) -> bool:
        rows = await self._catalog.reader.show(image)
        return any(row.status is not Status.QUEUED for row in rows)

    async def _what_is_wrong(self) -> str:
        for running in self._stages:
            if running.task.done():
                error = running.task.exception()
                return f"{running.stage.spec.name} ended: {type(error).__name__}: {error}"
        return ""


@asynccontextmanager
async def _open() -> AsyncIterator[Try]:
    async with AsyncExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="faces-fuzz-")))
        server = RedisServer(folder / "redis")
        opened.callback(server.kill)
        await asyncio.to_thread(server.start)
        database = f"sqlite:///{folder}/faces.db"
        settings = {
            "database_url": database,
            "objects_url": f"file://{folder}/objects",
            "model": "haar",
            "slots": 1,
            "max_attempts": 1,
            "lease_seconds": 30,
        }
        suite = await opened.enter_async_context(suite_on(server.url, **settings))
        stages: list[Running] = []
        opening: tuple[OpenStage, ...] = (open_ingest, open_detector, open_writer)
        for open_stage in opening:
            stage = await opened.enter_async_context(open_stage(suite.settings, Health()))
            stages.append(Running(stage))
        catalog = await Catalog.open(database)
        opened.push_async_callback(catalog.close)
        opened.push_async_callback(_drain, stages)
        yield _Suite(suite, catalog, stages).try_one


async def _drain(stages: list[Running]) -> None:
    for running in stages:
        running.stop.set()
    await asyncio.gather(*(running.task for running in stages), return_exceptions=True)


ENTRIES = Target(
    name="entries",
    about="entries through real services on a real Redis, beside a picture that must be searched",
    kinds=(SOURCES, IMAGES, RESULTS),
    make=make,
    open=_open,
)
