"""Service processes of a test, on its servers, and what is seen of them from outside."""

import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.writer.service import open_stage as open_writer
from shared.catalog import Catalog, Filter, ImageRow
from shared.errors import Unreachable
from shared.health import Health
from shared.messages import Face, Payload
from shared.streams.keys import RESULTS
from tests.support.stages import Running, Suite, image, suite_on
from tests.support.waiting import wait_until

LEASE_SECONDS = 2.0
"""Short, since tests wait for it; long enough for a service that hardly gets the processor."""

FACE = Face(x=1, y=1, w=1, h=1, score=0.9)


def children() -> set[int]:
    """Processes started by this one."""
    return {
        int(pid)
        for file in Path("/proc/self/task").glob("*/children")
        for pid in file.read_text().split()
    }


class Processes:
    """Service processes of one test, on its servers; all of them end with it."""

    def __init__(self, folder: Path, redis_url: str) -> None:
        self.folder = folder
        self.detections = folder / "detections"
        self.detections.touch()
        self.gate = folder / "gate"
        self.database = f"sqlite:///{folder}/faces.db"
        self.redis_url = redis_url
        self.settings: dict[str, object] = {}
        self._started: list[subprocess.Popen[bytes]] = []

    def start(self, *module: str) -> subprocess.Popen[bytes]:
        log = (self.folder / f"{len(self._started)}.log").open("wb")
        settings = {
            "redis_url": self.redis_url,
            "database_url": self.database,
            "objects_url": f"file://{self.folder}/objects",
            "model": "haar",
            "slots": 1,
            "slot_memory_bytes": 1 << 30,
            "lease_seconds": LEASE_SECONDS,
            "take_unknown_results": True,
            "log_format": "json",
            **self.settings,
        }
        environment = {f"FACES_{name.upper()}": str(value) for name, value in settings.items()}
        with log:
            process = subprocess.Popen(
                [sys.executable, "-m", *module],
                env={**os.environ, **environment},
                stdout=log,
                stderr=log,
            )
        self._started.append(process)
        return process

    def printed(self, process: subprocess.Popen[bytes]) -> str:
        return (self.folder / f"{self._started.index(process)}.log").read_text()

    def begun(self, process: subprocess.Popen[bytes] | None = None) -> list[str]:
        """Names of the pictures whose search was begun, by one detector or by any."""
        lines = [line.split() for line in self.detections.read_text().splitlines()]
        return [name for name, by in lines if process is None or by == str(process.pid)]

    def picture(self, name: str, **told: object) -> bytes:
        return json.dumps({"name": name, "log": str(self.detections), **told}).encode()

    def end(self) -> None:
        for process in self._started:
            process.kill()
            process.wait()


@pytest.fixture
def processes(tmp_path: Path, redis_url: str) -> Iterator[Processes]:
    started = Processes(tmp_path, redis_url)
    yield started
    started.end()


@asynccontextmanager
async def suite_of(
    processes: Processes,
    **settings: Any,  # Any: setting values
) -> AsyncIterator[tuple[Suite, Catalog]]:
    """The streams and the catalog of the processes. Images are added to them without an ingest
    that makes their rows, so the writer makes these."""
    given = {"database_url": processes.database, "take_unknown_results": True, **settings}
    given.setdefault("objects_url", f"file://{processes.folder}/objects")
    async with suite_on(processes.redis_url, lease_seconds=LEASE_SECONDS, **given) as suite:
        catalog = await Catalog.open(processes.database)
        try:
            yield suite, catalog
        finally:
            await catalog.close()


@asynccontextmanager
async def writing(suite: Suite, health: Health | None = None) -> AsyncIterator[None]:
    """A writer at work, in this process."""
    async with AsyncExitStack() as opened:
        stage = await opened.enter_async_context(open_writer(suite.settings, health or Health()))
        opened.push_async_callback(Running(stage).drain)
        yield


async def add_pictures(suite: Suite, contents: Sequence[bytes]) -> None:
    for number, content in enumerate(contents):
        payload = Payload.of(content)
        await suite.producer.add(image(f"{number}.jpg", payload=payload), {payload: content})


async def rows_of(catalog: Catalog) -> list[ImageRow]:
    return [row async for row in catalog.reader.results(Filter())]


async def all_ended(suite: Suite, catalog: Catalog, count: int) -> None:
    async def ended() -> bool:
        try:
            return await suite.all_streams_empty() and len(await rows_of(catalog)) == count
        except Unreachable:  # connections of before the database was stopped
            return False

    await wait_until(ended, f"{count} rows, and empty streams", timeout=100)


async def results_added(suite: Suite) -> int:
    """How many results were ever added: also those that the writer has finished."""
    return int((await suite.client.xinfo_stream(suite.keys.stream(RESULTS)))["entries-added"])


def open_files(pid: int | str = "self") -> set[str]:
    """The open file descriptors of a process, by number; without that of this look at them."""
    folder = Path(f"/proc/{pid}/fd")
    return {file.name for file in folder.iterdir() if file.is_symlink()}
