"""The process slots, with real children: one culprit, one process, and neighbours that go on."""

import asyncio
import json
import os
import re
import signal
import sys
from collections.abc import Callable, Coroutine
from contextlib import AbstractAsyncContextManager
from pathlib import Path
from typing import Any

import pytest
import uvloop
from prometheus_client import REGISTRY

from services.detector.pipe import Config, Request
from services.detector.process import SlotCrashed
from services.detector.slots import Slots, open_slots
from shared.errors import FacesError, ModelMissing, Unreachable
from shared.messages import Status
from shared.model_table import MODELS
from shared.recipe import Recipe
from tests.support.clock import LoopClock, clock
from tests.support.poison import BREAK, poisoned
from tests.support.processes import children
from tests.support.waiting import wait_until

__all__ = ["clock"]

GIBIBYTE = 1 << 30

REQUEST = Request(recipe=Recipe(model="yunet", model_version=MODELS["yunet"].version))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return poisoned(tmp_path)


def slots_of(
    config: Config, count: int = 1, timeout: float = 60
) -> AbstractAsyncContextManager[Slots]:
    return open_slots(config, count, timeout)


def alive(pid: int) -> bool:
    """Whether a process runs; one that only waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def restarts(cause: str) -> float:
    """The metric of replaced processes."""
    name = "faces_detector_slot_restarts_total"
    return REGISTRY.get_sample_value(name, {"cause": cause}) or 0


async def works(slots: Slots) -> bool:
    return (await slots.ask(REQUEST, b"ok")).reply.status is Status.NO_FACES


async def crash(slots: Slots, content: bytes) -> SlotCrashed:
    with pytest.raises(SlotCrashed) as caught:
        await slots.ask(REQUEST, content)
    return caught.value


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_a_slot_answers_crashes_comes_back_and_leaves_on_both_event_loops(
    run: Callable[[Coroutine[Any, Any, None]], None], config: Config
) -> None:
    before = children()

    async def live() -> None:
        async with slots_of(config, 2) as slots:
            answer = await slots.ask(REQUEST, b"faces")
            assert answer.pictures == (b"annotated", b"crop")
            assert answer.reply.width == 20
            await crash(slots, b"signal 9")
            await crash(slots, b"signal 9")
            assert await works(slots)

    run(live())
    assert children() <= before


@pytest.mark.parametrize(
    ("content", "reason", "cause"),
    [
        (b"signal 9", "was killed by signal 9 (SIGKILL", "crash"),
        (b"signal 11", "was killed by signal 11 (SIGSEGV)", "crash"),
        (b"exit 3", "ended with status 3", "crash"),
        (b"allocate", "needed more than the 1 GiB of memory a slot may use", "memory"),
        (b"allocate_in_opencv", "needed more than the 1 GiB of memory a slot may use", "memory"),
        (b"babble", "its process answered nonsense", "protocol"),
        (b"unasked", "its process answered nonsense: an answer that nobody asked for", "protocol"),
    ],
)
async def test_a_picture_that_costs_its_process_is_blamed_in_plain_words(
    content: bytes, reason: str, cause: str, config: Config
) -> None:
    async with slots_of(config, 2) as slots:
        before, counted = set(slots.pids), restarts(cause)
        crashed = await crash(slots, content)
        assert reason in str(crashed)
        assert crashed.cause == cause
        await wait_until(lambda: len(set(slots.pids)) == 2, "the slot is filled again")
        assert len(before & set(slots.pids)) == 1, "the neighbour is the same process"
        assert restarts(cause) == counted + 1
        assert all([await works(slots) for _ in range(4)])


async def test_a_picture_that_never_ends_costs_its_slot_at_the_time_limit(
    config: Config, clock: LoopClock
) -> None:
    async with slots_of(config, 1, timeout=1000) as slots:
        [before] = slots.pids
        crashing = asyncio.create_task(crash(slots, b"hang"))
        await wait_until(lambda: slots.busy == 1, "it is at work")
        clock.pass_by(1000)
        assert str(await crashing) == "took longer than 1000 s"
        await wait_until(lambda: not alive(before), "the process is gone")
        assert await works(slots), "a new one took its place"


async def test_neighbours_of_a_picture_that_never_ends_are_not_delayed(config: Config) -> None:
    async with slots_of(config, 2) as slots:
        hanging = asyncio.create_task(slots.ask(REQUEST, b"hang"))
        assert all(await asyncio.gather(*(works(slots) for _ in range(50))))
        assert not hanging.done()
        hanging.cancel()
        await asyncio.wait([hanging])


async def test_whoever_waits_for_a_slot_is_answered_by_its_replacement(config: Config) -> None:
    async with slots_of(config, 1) as slots:
        crashing = asyncio.create_task(crash(slots, b"signal 11"))
        waiting = [asyncio.create_task(works(slots)) for _ in range(3)]
        await crashing
        assert all(await asyncio.gather(*waiting))


async def test_a_child_that_dies_without_a_picture_is_replaced_and_nobody_blamed(
    config: Config,
) -> None:
    async with slots_of(config, 1) as slots:
        [before] = slots.pids
        os.kill(before, signal.SIGKILL)
        await wait_until(lambda: slots.pids not in ([], [before]), "there is another process")
        assert await works(slots)


async def test_a_request_that_is_given_up_takes_its_process_along(config: Config) -> None:
    async with slots_of(config, 1) as slots:
        [before] = slots.pids
        given_up = asyncio.create_task(slots.ask(REQUEST, b"hang"))
        await wait_until(lambda: slots.busy == 1, "it is at work")
        given_up.cancel()
        await wait_until(lambda: not alive(before), "the process is gone")
        assert await works(slots)


async def test_a_fault_of_a_library_is_an_answer_and_costs_no_process(config: Config) -> None:
    async with slots_of(config, 1) as slots:
        before = slots.pids
        reply = (await slots.ask(REQUEST, b"fail it broke")).reply
        assert (reply.kind, reply.reason) == ("retry", "RuntimeError: it broke")
        assert await works(slots)
        assert slots.pids == before


async def test_what_libraries_print_does_not_get_into_the_answers(config: Config) -> None:
    async with slots_of(config, 1) as slots:
        before = slots.pids
        for _ in range(20):
            assert (await slots.ask(REQUEST, b"print hello")).reply.kind == "done"
        assert slots.pids == before


def asleep(pid: int, told: str) -> str:
    """Where a thread stands that sleeps, by what it told of itself and how often it fell asleep;
    '' while it does not."""
    thread, _, _ = told.partition(" ")
    if not thread:
        return ""
    status = Path(f"/proc/{pid}/task/{thread}/status").read_text()
    switches = re.search(r"^voluntary_ctxt_switches:\t(\d+)$", status, re.MULTILINE)
    return f"{told} {switches and switches[1]}" if "State:\tS" in status else ""


@pytest.mark.parametrize("flood", [b"flood 2", b"flood 1"], ids=["prints", "sends"])
async def test_a_child_that_prints_or_sends_without_end_is_not_listened_to_without_end(
    flood: bytes, config: Config, tmp_path: Path
) -> None:
    open_cell = config.model_copy(update={"load": "tests.support.poison:load_in_open_cell"})
    async with slots_of(open_cell, 1) as slots:
        written = tmp_path / "written"
        assert (await slots.ask(REQUEST, b"%b %b" % (flood, bytes(written)))).reply.kind == "done"
        written.touch()
        await wait_until(lambda: bool(written.read_text()), "it writes")
        [pid], stood = slots.pids, ""

        async def it_waits() -> bool:
            nonlocal stood
            for _ in range(1000):  # turns of the loop, in which all would be read that comes
                await asyncio.sleep(0)
            before, stood = stood, asleep(pid, written.read_text())
            return stood != "" and before == stood

        await wait_until(it_waits, "it has to wait until its parent reads")
        assert int(stood.split()[1]) < 8 << 20


async def test_when_no_process_can_be_started_it_says_so_until_one_can(config: Config) -> None:
    async with slots_of(config, 1) as slots:
        (config.models_dir / BREAK).touch()
        waiting = asyncio.create_task(crash(slots, b"signal 9"))
        late = asyncio.create_task(works(slots))
        await waiting
        with pytest.raises(Unreachable, match="faces models pull yunet"):
            await late
        assert "no detector process can be started" in (slots.wrong() or "")
        with pytest.raises(Unreachable):
            await works(slots)
        with pytest.raises(Unreachable, match="faces models pull yunet"):
            await slots.check()
        (config.models_dir / BREAK).unlink()
        await wait_until(lambda: slots.wrong() is None, "a process could be started")
        await slots.check()
        assert await works(slots)


async def test_weights_that_are_not_there_end_the_start_with_the_command_to_run(
    config: Config,
) -> None:
    before = children()
    real = config.model_copy(update={"load": "services.detector.models:load"})
    with pytest.raises(ModelMissing, match="faces models pull yunet"):
        async with slots_of(real, 2):
            pytest.fail("it started")
    await wait_until(lambda: children() <= before, "no process is left behind")


async def test_too_little_memory_for_any_picture_ends_the_start(config: Config) -> None:
    small = config.model_copy(update={"memory_bytes": 200 << 20})
    with pytest.raises(FacesError, match="FACES_SLOT_MEMORY_BYTES: 200 MiB are too few"):
        async with slots_of(small):
            pytest.fail("it started")


async def told_by(slots: Slots) -> dict[str, Any]:  # Any: whatever `poison.tell` tells
    answer = await slots.ask(REQUEST, b"tell")
    told: dict[str, Any] = json.loads(answer.pictures[0])
    return told


async def test_a_child_is_confined(config: Config) -> None:
    async with slots_of(config) as slots:
        [pid] = slots.pids
        assert os.getpriority(os.PRIO_PROCESS, pid) > os.nice(0)
        told = await told_by(slots)
    assert told["address_space"] == GIBIBYTE
    assert told["core"] == 0
    assert told["opencv_threads"] == 1
    assert told["environment"]["OMP_NUM_THREADS"] == "1"
    assert told["stdin"] == "", "nothing of the pipe can be read by accident"


SECRETS = (
    "FACES_REDIS_URL",
    "FACES_DATABASE_URL",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_WEB_IDENTITY_TOKEN_FILE",
    "AZURE_STORAGE_ACCOUNT_KEY",
    "GOOGLE_APPLICATION_CREDENTIALS",
    "API_TOKEN",
    "https_proxy",
)


async def test_the_environment_of_a_child_carries_no_secret(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in SECRETS:
        monkeypatch.setenv(name, "hush-" + name)
    async with slots_of(config) as slots:
        environment = str(await told_by(slots))
    assert "OMP_NUM_THREADS" in environment
    assert "hush" not in environment


async def test_modules_in_the_working_directory_are_not_taken_for_ours(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "cv2.py").write_text("raise SystemExit('not ours')")
    monkeypatch.chdir(tmp_path)
    async with slots_of(config) as slots:
        assert await works(slots)


async def test_signals_of_a_terminal_or_supervisor_leave_the_children_to_their_parent(
    config: Config,
) -> None:
    async with slots_of(config, 2) as slots:
        before = slots.pids
        for pid in before:
            assert os.getpgid(pid) != os.getpgid(0), "Ctrl-C goes to a process group"
            for signum in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
                os.kill(pid, signum)
        assert all([await works(slots) for _ in range(6)])
        assert slots.pids == before


async def test_children_die_with_a_parent_that_is_killed(tmp_path: Path) -> None:
    parent = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.support.slots_parent",
        str(tmp_path),
        cwd=Path(__file__).parents[2],
        stdout=asyncio.subprocess.PIPE,
    )
    assert parent.stdout
    pids: list[int] = []
    async for line in parent.stdout:
        if line.startswith(b"pids"):
            pids = [int(pid) for pid in line.split()[1:]]
            break
    assert len(pids) == 2
    assert all(map(alive, pids)), "one is idle, one at work for ever"
    parent.kill()
    await parent.wait()
    await wait_until(lambda: not any(map(alive, pids)), "no child is left")


async def test_leaving_with_a_child_at_work_kills_it_at_once(
    config: Config, clock: LoopClock
) -> None:
    async with slots_of(config, 1, timeout=1000) as slots:
        pids = slots.pids
        hanging = asyncio.create_task(slots.ask(REQUEST, b"hang"))
        await wait_until(lambda: slots.busy == 1, "it is at work")
        clock.stop()  # there is a grace only for children without work
    assert not any(map(alive, pids))
    with pytest.raises(SlotCrashed):
        await hanging
