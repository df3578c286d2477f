"""Slots that are handed open files: each reads its own, and none stays open."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from services.detector.pipe import Config, Request
from services.detector.process import SlotAnswer, SlotCrashed
from services.detector.references import Opened
from services.detector.slots import Slots, open_slots
from shared.errors import Unreachable
from shared.messages import Status
from shared.model_table import MODELS
from shared.recipe import Recipe
from tests.support.clock import LoopClock, clock
from tests.support.poison import poisoned
from tests.support.processes import children, open_files
from tests.support.waiting import wait_until

__all__ = ["clock"]

REQUEST = Request(recipe=Recipe(model="yunet", model_version=MODELS["yunet"].version), handed=True)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return poisoned(tmp_path)


class Pictures:
    """Files in a folder, opened for slots."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    @contextmanager
    def opened(self, content: bytes) -> Iterator[Opened]:
        file = self._folder / os.urandom(8).hex()
        file.write_bytes(content)
        descriptor = os.open(file, os.O_RDONLY)
        file.unlink()  # whoever has it open still reads it
        try:
            yield Opened(descriptor, "")
        finally:
            os.close(descriptor)

    async def ask(self, slots: Slots, content: bytes) -> SlotAnswer:
        with self.opened(content) as opened:
            return await slots.ask(REQUEST, opened)

    def asked(self, slots: Slots, content: bytes) -> "asyncio.Task[SlotAnswer]":
        return asyncio.create_task(self.ask(slots, content))


@pytest.fixture
def pictures(tmp_path: Path) -> Pictures:
    return Pictures(tmp_path)


def gated(gate: Path) -> bytes:
    """Grants a credit, then waits for the gate, which says what to do."""
    return b"decoded wait %b" % os.fsencode(gate)


def open_gate(gate: Path, action: str) -> None:
    written = gate.with_suffix(".new")
    written.write_text(action)
    written.rename(gate)


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run])
def test_files_are_handed_over_on_both_event_loops(
    run: Callable[[Coroutine[Any, Any, None]], None], config: Config, pictures: Pictures
) -> None:
    async def live() -> None:
        async with open_slots(config, 2, 60) as slots:
            answer = await pictures.ask(slots, b"faces")
            assert answer.pictures == (b"annotated", b"crop")
            assert answer.reply.size == len(b"faces")

    run(live())


async def test_each_of_many_gets_the_answer_of_its_own_file_beside_others_that_are_sent(
    config: Config, pictures: Pictures
) -> None:
    sent = Request(recipe=REQUEST.recipe)

    async def told(slots: Slots, number: int) -> str:
        content = b"decoded damaged %d" % number
        if number % 3:
            return (await pictures.ask(slots, content)).reply.reason
        return (await slots.ask(sent, content)).reply.reason

    async with open_slots(config, 2, 60) as slots:
        answers = await asyncio.gather(*(told(slots, number) for number in range(200)))
        assert answers == [str(number) for number in range(200)]


@asynccontextmanager
async def waiting_behind_another(
    config: Config, pictures: Pictures, gate: Path
) -> AsyncIterator[tuple[Slots, "asyncio.Task[SlotAnswer]", "asyncio.Task[SlotAnswer]"]]:
    """One child, a picture at work in it, and one that was handed over and has not begun."""
    async with open_slots(config, 1, 1000) as slots:
        at_work = pictures.asked(slots, gated(gate))
        await wait_until(lambda: slots.credits == 1, "the child grants a credit")
        waits = pictures.asked(slots, b"damaged behind")
        await wait_until(lambda: slots.credits == 0, "the next request is in its pipe")
        yield slots, at_work, waits


@pytest.mark.parametrize("end", ["signal 9", "hang", "babble"])
async def test_a_file_that_was_handed_to_a_child_that_dies_is_read_whole_by_another(
    end: str, config: Config, pictures: Pictures, tmp_path: Path, clock: LoopClock
) -> None:
    gate = tmp_path / "gate"
    async with waiting_behind_another(config, pictures, gate) as (_, at_work, waits):
        open_gate(gate, end)
        if end == "hang":
            clock.pass_by(1000)
        with pytest.raises(SlotCrashed):
            await at_work
        assert (await waits).reply.reason == "behind"


def has_open_files(pid: int) -> bool:
    try:
        return bool(open_files(pid))
    except OSError:  # a process that has ended has none
        return False


async def test_a_child_that_was_killed_idle_costs_a_file_nothing(
    config: Config, pictures: Pictures
) -> None:
    async with open_slots(config, 1, 60) as slots:
        for _ in range(3):
            [pid] = slots.pids
            os.kill(pid, signal.SIGKILL)
            while has_open_files(pid):
                pass  # not awaited: the parent has not seen yet that it ended
            assert (await pictures.ask(slots, b"ok")).reply.status is Status.NO_FACES


async def test_a_child_that_closes_its_door_is_replaced_and_the_next_picture_not_blamed(
    config: Config, pictures: Pictures
) -> None:
    async with open_slots(config, 1, 60) as slots:
        [before] = slots.pids
        assert (await pictures.ask(slots, b"close")).reply.status is Status.NO_FACES
        assert (await pictures.ask(slots, b"ok")).reply.status is Status.NO_FACES
        assert slots.pids != [before]


async def test_where_the_system_hands_nothing_over_no_picture_is_blamed(
    config: Config, pictures: Pictures, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise Unreachable("no open file can be handed over")

    gate = tmp_path / "gate"
    async with open_slots(config, 1, 60) as slots:
        at_work = pictures.asked(slots, gated(gate))
        await wait_until(lambda: slots.credits == 1, "the child grants a credit")
        with monkeypatch.context() as patched:
            patched.setattr("services.detector.process.hand_over", refuse)
            with pytest.raises(Unreachable):
                await pictures.ask(slots, b"ok")
        open_gate(gate, "damaged first")
        assert (await at_work).reply.reason == "first"
        answers = await asyncio.gather(*(pictures.ask(slots, b"ok") for _ in range(5)))
        assert {answer.reply.status for answer in answers} == {Status.NO_FACES}
        assert (slots.busy, slots.credits) == (0, 0)


async def test_nothing_stays_open_after_pictures_crashes_timeouts_and_what_is_given_up(
    config: Config, pictures: Pictures, tmp_path: Path, clock: LoopClock
) -> None:
    async with open_slots(config, 1, 60) as slots:
        await pictures.ask(slots, b"ok")  # what is opened once, and kept
    before, processes = open_files(), children()
    await pictures_of_every_end(config, pictures, tmp_path, clock)
    assert children() == processes
    await wait_until(lambda: len(open_files()) <= len(before), "all is closed")


async def pictures_of_every_end(
    config: Config, pictures: Pictures, folder: Path, clock: LoopClock
) -> None:
    async with open_slots(config, 2, 1000) as slots:
        [child, _] = slots.pids
        fresh = open_files(child)
        await asyncio.gather(*(pictures.ask(slots, b"decoded faces") for _ in range(100)))
        assert open_files(child) == fresh
        for content in (b"signal 9", b"babble", b"allocate"):
            with pytest.raises(SlotCrashed):
                await pictures.ask(slots, content)
        given_up = [pictures.asked(slots, b"hang") for _ in range(5)]
        await wait_until(lambda: slots.busy == 2, "two of them are at work")
        for one in given_up:
            one.cancel()
        await asyncio.wait(given_up)
        await wait_until(lambda: len(slots.pids) == 2, "both slots are filled again")
        hangs = pictures.asked(slots, b"hang")
        await wait_until(lambda: slots.busy == 1, "it is at work")
        clock.pass_by(1000)
        with pytest.raises(SlotCrashed):
            await hangs
        await wait_until(lambda: len(slots.pids) == 2, "both slots are filled again")
        gate = folder / os.urandom(8).hex()
        at_work = [pictures.asked(slots, gated(gate)) for _ in range(2)]
        await wait_until(lambda: slots.credits == 2, "both grant a credit")
        waits = [pictures.asked(slots, b"ok") for _ in range(4)]
        await wait_until(lambda: slots.credits == 0, "two are in a pipe")
        for one in waits:
            one.cancel()
        await asyncio.wait(waits)
        open_gate(gate, "ok")
        await asyncio.gather(*at_work)


async def test_a_child_holds_its_pipes_its_door_and_no_file_of_its_parent_or_of_another_child(
    config: Config, pictures: Pictures, tmp_path: Path
) -> None:
    with pictures.opened(b"secret"):
        async with open_slots(config, 2, 60) as slots:
            for pid in slots.pids:
                held = [os.readlink(f"/proc/{pid}/fd/{name}") for name in open_files(pid)]
                assert len([name for name in held if name.startswith("socket:")]) == 1
                assert not [name for name in held if str(tmp_path) in name]
