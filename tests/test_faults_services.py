"""The faults that whole services must survive: real processes, killed, frozen and starved."""

import asyncio
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from services.writer.service import open_stage as open_writer
from shared.catalog import Catalog, Filter, ImageRow
from shared.errors import Unreachable
from shared.health import Health
from shared.messages import Body, Face, ImageMessage, Status, decode_result
from shared.streams.keys import DEAD, IMAGES, RESULTS
from shared.streams.outcome import Done, Outcome, Output, Work
from shared.streams.runner import open_stage_of
from shared.streams.spec import StageSpec
from tests.chaos.servers import Postgres
from tests.conftest import RedisServer, absent
from tests.stages import Running, Suite, image, result_of, running, suite_on
from tests.waiting import wait_until

LEASE_SECONDS = 1.0
FACE = Face(x=1, y=1, w=1, h=1, score=0.9)


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
    """The streams and the catalog of the processes."""
    given = {"database_url": processes.database, **settings}
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
        body = Body.of(content)
        await suite.producer.add(image(f"{number}.jpg", body=body), {body: content})


async def rows_of(catalog: Catalog) -> list[ImageRow]:
    return [row async for row in catalog.results(Filter())]


async def all_ended(suite: Suite, catalog: Catalog, count: int) -> None:
    async def ended() -> bool:
        try:
            return await suite.all_streams_empty() and len(await rows_of(catalog)) == count
        except Unreachable:  # connections of before the database was stopped
            return False

    await wait_until(ended, f"{count} rows, and empty streams", timeout=60)


async def results_added(suite: Suite) -> int:
    """How many results were ever added: also those that the writer has finished."""
    return int((await suite.client.xinfo_stream(suite.keys.stream(RESULTS)))["entries-added"])


async def test_detector_killed_with_sigkill(processes: Processes) -> None:
    gate = str(processes.gate)
    pictures = [processes.picture(f"{n}", gate=gate) for n in range(30)]
    async with suite_of(processes) as (suite, catalog), writing(suite):
        killed, other = (processes.start("tests.gated_detector") for _ in range(2))
        await add_pictures(suite, pictures)
        await wait_until(
            lambda: len(processes.begun(killed)) == len(processes.begun(other)) == 1,
            "both are half way",
            timeout=60,
        )
        killed.kill()
        processes.gate.touch()
        await all_ended(suite, catalog, 30)
        assert {row.status for row in await rows_of(catalog)} == {Status.NO_FACES}
        assert {row.attempts for row in await rows_of(catalog)} == {1}, "nobody is blamed"
        assert await results_added(suite) == 30
    searched = Counter(processes.begun())
    assert len(searched) == 30
    again = [name for name, times in searched.items() if times > 1]
    assert again == processes.begun(killed), "only what the killed one was at is searched again"


async def test_frozen_worker_wakes_up_late(processes: Processes) -> None:
    gate = str(processes.gate)
    pictures = [processes.picture(f"{n}", gate=gate) for n in range(6)]
    async with suite_of(processes) as (suite, catalog), writing(suite):
        frozen = processes.start("tests.gated_detector")
        await add_pictures(suite, pictures)
        await wait_until(lambda: len(processes.begun(frozen)) == 1, "it has begun", timeout=60)
        frozen.send_signal(signal.SIGSTOP)
        processes.start("tests.gated_detector")
        processes.gate.touch()
        await all_ended(suite, catalog, 6)
        frozen.send_signal(signal.SIGCONT)
        await wait_until(
            lambda: "others finished these" in processes.printed(frozen), "its result is refused"
        )
        assert await results_added(suite) == 6
        assert len(await rows_of(catalog)) == 6


async def test_sigterm_under_load(processes: Processes) -> None:
    processes.settings = {"slots": 2, "drain_seconds": 20}
    pictures = [processes.picture(f"{n}") for n in range(300)]
    async with suite_of(processes) as (suite, catalog), writing(suite):
        leaving = processes.start("tests.gated_detector")
        await add_pictures(suite, pictures)
        await wait_until(lambda: len(processes.begun()) >= 50, "it is busy", timeout=60)
        leaving.terminate()
        assert await asyncio.to_thread(leaving.wait, 20) == 0
        assert len(processes.begun()) < 300, "it left before the end"
        assert await suite.pending(IMAGES, "detector") <= 2, "prefetched ones were given back"
        processes.start("tests.gated_detector")
        await all_ended(suite, catalog, 300)
        assert await results_added(suite) == 300
    assert set(Counter(processes.begun()).values()) == {1}, "nothing finished is searched again"


async def test_image_that_never_ends_or_kills_its_process(processes: Processes) -> None:
    processes.settings = {"slots": 2, "task_timeout_seconds": 4, "max_attempts": 2}
    poison = {"hangs": "hang", "crashes": "signal 11", "allocates": "allocate_in_opencv"}
    good = [processes.picture(f"good-{n}") for n in range(40)]
    bad = [processes.picture(name, poison=action) for name, action in poison.items()]
    async with suite_of(processes) as (suite, catalog), writing(suite):
        await add_pictures(suite, [*bad, *good])
        processes.start("tests.gated_detector")
        await all_ended(suite, catalog, 43)
        rows = {row.name: row for row in await rows_of(catalog)}
        failed = {name: row.reason for name, row in rows.items() if row.status is Status.FAILED}
        assert failed == {
            "0.jpg": "took longer than 4 s",
            "1.jpg": "its process was killed by signal 11 (SIGSEGV)",
            "2.jpg": "needed more than the 1 GiB of memory a slot may use",
        }
        assert {rows[name].attempts for name in failed} == {2}
        assert {row.attempts for name, row in rows.items() if name not in failed} == {1}
        for letter in await suite.entries(DEAD):
            history = json.loads(letter[b"history"])
            assert [attempt["reason"] for attempt in history] == [letter[b"reason"].decode()] * 2
            body = ImageMessage.decode(letter[b"m"]).body
            assert body is not None
            assert await suite.client.get(suite.keys.body(body.id)) in bad, "kept for replay"
    order = processes.begun()
    last_good = max(order.index(f"good-{n}") for n in range(40))
    assert last_good < len(order) - 1, "while one hangs a second time, all neighbours are done"


async def test_database_down_for_a_while(processes: Processes) -> None:
    if not Postgres.available():
        absent("PostgreSQL's programs")
    postgres = Postgres()
    try:
        await asyncio.to_thread(postgres.create)
        processes.database = postgres.url
        async with suite_of(processes) as (suite, catalog):
            writer = processes.start("services.writer")
            await suite.add_all([result_of(image("before.jpg"))])
            await all_ended(suite, catalog, 1)
            await asyncio.to_thread(postgres.stop)
            await suite.add_all([result_of(image(f"{n}.jpg")) for n in range(20)])
            await wait_until(lambda: '"not ready"' in processes.printed(writer), "it says so")
            port = next(
                json.loads(line)["port"]
                for line in processes.printed(writer).splitlines()
                if '"port"' in line
            )
            began = (await suite.client.time())[0]

            async def two_reads_later() -> bool:
                with pytest.raises(OSError, match="503"):
                    await asyncio.to_thread(urlopen, f"http://127.0.0.1:{port}/readyz")
                return int((await suite.client.time())[0]) >= began + 3

            await wait_until(two_reads_later, "it says so all the time, though Redis is well")
            assert await suite.length(RESULTS) == 20, "nothing is acknowledged"
            await asyncio.to_thread(postgres.start)
            await all_ended(suite, catalog, 21)
            assert writer.poll() is None
            assert await suite.length(DEAD) == 0
    finally:
        await asyncio.to_thread(postgres.remove)


@pytest.mark.parametrize("step", ["store_pictures", "commit_rows"])
async def test_writer_dies_between_object_commit_and_ack(step: str, processes: Processes) -> None:
    async with suite_of(processes) as (suite, catalog):
        body = Body.of(b"highlighted")
        found = result_of(image(), status=Status.FACES, faces=(FACE,), body=body)
        await suite.producer.add(found, {body: b"highlighted"})
        dying = processes.start("tests.crashing_writer", step)
        assert await asyncio.to_thread(dying.wait, 60) == -signal.SIGKILL
        assert await suite.length(RESULTS) == 1, "it is not acknowledged"
        assert len(await rows_of(catalog)) == (step == "commit_rows")
        async with writing(suite):
            await all_ended(suite, catalog, 1)
        (row,) = await rows_of(catalog)
        assert (row.status, len(row.faces)) == (Status.FACES, 1)
        assert not await suite.client.exists(suite.keys.body(body.id))
    objects = [path for path in (processes.folder / "objects").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in objects] == [b"highlighted"]


class Bucket:
    """An S3 endpoint that answers every request with one status, and counts them."""

    def __init__(self) -> None:
        self.status = "200 OK"
        self.requests = 0

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                lengths = [
                    line for line in head.lower().split(b"\r\n") if b"content-length" in line
                ]
                await reader.readexactly(int(lengths[0].split(b":")[1]) if lengths else 0)
                self.requests += 1
                etag = 'ETag: "1"\r\nContent-Length: 0\r\n\r\n'
                writer.write(f"HTTP/1.1 {self.status}\r\n{etag}".encode())
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()


@asynccontextmanager
async def bucket_of(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Bucket]:
    bucket = Bucket()
    server = await asyncio.start_server(bucket, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    for name, value in {
        "AWS_ENDPOINT": f"http://127.0.0.1:{port}",
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "key",
        "AWS_SECRET_ACCESS_KEY": "word",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    try:
        yield bucket
    finally:
        server.close()


async def add_found(suite: Suite) -> str:
    """A result with a picture; the id of its image."""
    body = Body.of(b"highlighted")
    found = result_of(image(), status=Status.FACES, faces=(FACE,), body=body)
    await suite.producer.add(found, {body: b"highlighted"})
    return found.id


@pytest.mark.parametrize("store", ["disk", "bucket"])
async def test_disk_or_bucket_refuses(
    store: str, processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bucket_of(monkeypatch) as bucket:
        bucket.status = "403 Forbidden"
        folder = processes.folder / "objects"
        url = "s3://pictures" if store == "bucket" else f"file://{folder}"
        async with suite_of(processes, objects_url=url, max_attempts=2) as (suite, catalog):
            folder.mkdir(exist_ok=True)
            refused = await add_found(suite)
            (folder / image().recipe.id).write_text("a file where a folder should be")
            fine = result_of(image("fine.jpg"))
            await suite.add_all([fine])
            async with writing(suite):
                await all_ended(suite, catalog, 2)
            (row,) = await catalog.show(refused)
            assert (row.status, row.attempts) == (Status.FAILED, 2)
            assert ("403 Forbidden" if store == "bucket" else "Not a directory") in row.reason
            assert [row.status for row in await catalog.show(fine.id)] == [Status.NO_FACES]
            assert await suite.length(DEAD) == 1


async def test_disk_full_at_the_object_store(
    processes: Processes, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with bucket_of(monkeypatch) as bucket:
        bucket.status = "507 Insufficient Storage"
        async with suite_of(processes, objects_url="s3://pictures") as (suite, catalog):
            pictures = [await add_found(suite) for _ in range(5)]
            health = Health()
            health.ready("start")
            async with writing(suite, health):
                await wait_until(lambda: "507" in str(health.problems), "it waits and says why")
                assert await suite.length(RESULTS) == 5, "nothing is lost"
                bucket.status = "200 OK"
                await all_ended(suite, catalog, 5)
            assert {row.status for row in await rows_of(catalog)} == {Status.FACES}
            assert {row.id for row in await rows_of(catalog)} == set(pictures)
            assert await suite.length(DEAD) == 0


async def test_redis_at_maxmemory_with_inputs_waiting_drains_by_itself(
    own_server: RedisServer,
) -> None:
    picture = bytes(200_000)

    async def draw(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        body = Body.of(picture)
        return [Done((Output(result_of(works[0].message, body=body), {body: picture}),))]

    async with suite_on(own_server.url) as suite:
        await suite.client.config_set("maxmemory", 24_000_000)
        await suite.client.config_set("maxmemory-policy", "noeviction")
        adding = asyncio.create_task(add_pictures(suite, [picture] * 200))

        async def held(stream: str, least: int) -> bool:
            return await suite.bytes_held(stream) >= least

        await wait_until(lambda: held(IMAGES, 12_000_000), "inputs have filled their half")
        full_at = (await suite.client.time())[0]

        async def a_second_later() -> bool:
            assert await suite.bytes_held(IMAGES) < 13_000_000, "and take no more"
            return int((await suite.client.time())[0]) > full_at + 1

        await wait_until(a_second_later, "the producer goes on trying")
        async with running(suite, draw, concurrency=2):
            await wait_until(lambda: held(RESULTS, 6_000_000), "and results their quarter")
            assert not adding.done()
            assert await suite.bytes_held(RESULTS) < 7_000_000
            async with swallowing_results(suite):
                await adding
                await wait_until(suite.all_streams_empty, "all went through", timeout=60)
        assert await results_added(suite) == 200
        assert await suite.length(DEAD) == 0
        refused = await suite.client.info("errorstats")
        assert "errorstat_OOM" not in refused, "the server was never full"


@asynccontextmanager
async def swallowing_results(suite: Suite) -> AsyncIterator[None]:
    """A writer that forgets everything at once."""

    async def swallow(works: Sequence[Work[Any]]) -> Sequence[Outcome]:  # Any: either kind
        return [Done()] * len(works)

    spec: StageSpec[Any] = StageSpec(
        "writer", RESULTS, decode_result, swallow, lambda *_: None, batch=20
    )
    async with open_stage_of(spec, suite.settings, Health(), suite.client) as stage:
        run = Running(stage)
        yield
        await run.drain()
