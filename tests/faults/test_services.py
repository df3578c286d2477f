"""The faults that whole services must survive: real processes, killed, frozen and starved."""

import asyncio
import json
import signal
from collections import Counter
from urllib.request import urlopen

import pytest

from shared.messages import ImageMessage, Payload, Status
from shared.streams.keys import DEAD, IMAGES, RESULTS
from tests.chaos.servers import Postgres
from tests.support.processes import (
    FACE,
    Processes,
    add_pictures,
    all_ended,
    processes,
    results_added,
    rows_of,
    suite_of,
    writing,
)
from tests.support.servers import absent
from tests.support.stages import image, result_of
from tests.support.waiting import wait_until

__all__ = ["processes"]


async def test_detector_killed_with_sigkill(processes: Processes) -> None:
    gate = str(processes.gate)
    pictures = [processes.picture(f"{n}", gate=gate) for n in range(30)]
    async with suite_of(processes) as (suite, catalog), writing(suite):
        killed, other = (processes.start("tests.support.gated_detector") for _ in range(2))
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
        frozen = processes.start("tests.support.gated_detector")
        await add_pictures(suite, pictures)
        await wait_until(lambda: len(processes.begun(frozen)) == 1, "it has begun", timeout=60)
        frozen.send_signal(signal.SIGSTOP)
        processes.start("tests.support.gated_detector")
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
    gate = str(processes.gate)
    pictures = [processes.picture(f"{n}") for n in range(100)]
    pictures += [processes.picture(f"{n}", gate=gate) for n in range(100, 300)]
    async with suite_of(processes) as (suite, catalog), writing(suite):
        leaving = processes.start("tests.support.gated_detector")
        await add_pictures(suite, pictures)
        await wait_until(
            lambda: sum(int(name) >= 100 for name in processes.begun()) == 2,
            "both slots are at a closed gate",
        )
        leaving.terminate()
        await wait_until(lambda: '"draining"' in processes.printed(leaving), "it has heard")
        processes.gate.touch()
        assert await asyncio.to_thread(leaving.wait, 60) == 0
        assert len(processes.begun()) < 300, "it left before the end"
        pending = await suite.pending(IMAGES, "detector")
        assert pending == await suite.given_back(IMAGES, "detector"), "nothing waits for a lease"
        processes.start("tests.support.gated_detector")
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
        processes.start("tests.support.gated_detector")
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
            payload = ImageMessage.decode(letter[b"m"]).payload
            assert payload is not None
            assert await suite.client.get(suite.keys.payload(payload.id)) in bad, "kept for replay"


async def test_an_image_that_hangs_holds_up_no_other(processes: Processes) -> None:
    processes.settings = {"slots": 2, "task_timeout_seconds": 1000}
    hanging = processes.picture("hangs", poison="hang")
    async with suite_of(processes) as (suite, catalog), writing(suite):
        detector = processes.start("tests.support.gated_detector")
        await add_pictures(suite, [hanging])
        await wait_until(lambda: processes.begun() == ["hangs"], "one slot is at it for ever")
        await add_pictures(suite, [processes.picture(f"{n}") for n in range(40)])

        async def forty() -> bool:
            return len(await rows_of(catalog)) == 40

        await wait_until(forty, "all others have their rows")
        assert {row.status for row in await rows_of(catalog)} == {Status.NO_FACES}
        assert await suite.pending(IMAGES, "detector") == 1, "it is still being searched"
        assert detector.poll() is None


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
        payload = Payload.of(b"highlighted")
        found = result_of(image(), status=Status.FACES, faces=(FACE,), payload=payload)
        await suite.producer.add(found, {payload: b"highlighted"})
        dying = processes.start("tests.support.crashing_writer", step)
        assert await asyncio.to_thread(dying.wait, 60) == -signal.SIGKILL
        assert await suite.length(RESULTS) == 1, "it is not acknowledged"
        assert len(await rows_of(catalog)) == (step == "commit_rows")
        async with writing(suite):
            await all_ended(suite, catalog, 1)
        (row,) = await rows_of(catalog)
        assert (row.status, len(row.faces)) == (Status.FACES, 1)
        assert not await suite.client.exists(suite.keys.payload(payload.id))
    objects = [path for path in (processes.folder / "objects").rglob("*") if path.is_file()]
    assert [path.read_bytes() for path in objects] == [b"highlighted"]
