"""A child that has decoded its picture grants a credit: one more request waits in its pipe."""

import asyncio
import os
from pathlib import Path

import pytest

from services.detector.pipe import Config, Request
from services.detector.process import SlotAnswer, SlotCrashed
from services.detector.slots import Slots, open_slots
from shared.messages import Status
from shared.model_table import MODELS
from shared.recipe import Recipe
from tests.support.clock import LoopClock, clock
from tests.support.poison import poisoned
from tests.support.waiting import wait_until

__all__ = ["clock"]

REQUEST = Request(recipe=Recipe(model="yunet", model_version=MODELS["yunet"].version))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return poisoned(tmp_path)


class Gate:
    """Pictures that wait until they are told what to do."""

    def __init__(self, folder: Path, name: str) -> None:
        self._file = folder / name

    @property
    def picture(self) -> bytes:
        """Waits, undecoded."""
        return b"wait " + os.fsencode(self._file)

    @property
    def decoded(self) -> bytes:
        """Grants a credit, then waits."""
        return b"decoded " + self.picture

    def open(self, action: str) -> None:
        """Let it do that."""
        written = self._file.with_suffix(".new")
        written.write_text(action)
        written.rename(self._file)


@pytest.fixture
def first(tmp_path: Path) -> Gate:
    return Gate(tmp_path, "first")


@pytest.fixture
def second(tmp_path: Path) -> Gate:
    return Gate(tmp_path, "second")


def asked(slots: Slots, picture: bytes) -> "asyncio.Task[SlotAnswer]":
    return asyncio.create_task(slots.ask(REQUEST, picture))


async def until_granted(slots: Slots) -> None:
    await wait_until(lambda: slots.credits == 1, "the child grants a credit")


async def until_taken(slots: Slots) -> None:
    await wait_until(lambda: slots.credits == 0, "the next request is in its pipe")


async def test_the_next_picture_waits_in_the_pipe_and_both_get_their_own_answer(
    config: Config, first: Gate
) -> None:
    async with open_slots(config, 1, 60) as slots:
        before = slots.pids
        at_work = asked(slots, first.decoded)
        await until_granted(slots)
        waits = asked(slots, b"faces")
        await until_taken(slots)
        assert slots.busy == 1
        first.open("damaged first")
        assert (await at_work).reply.reason == "first"
        assert (await waits).reply.status is Status.FACES
        assert slots.pids == before
        assert (slots.busy, slots.credits) == (0, 0)


async def test_no_more_than_one_waits_in_a_pipe(config: Config, first: Gate, second: Gate) -> None:
    async with open_slots(config, 2, 60) as slots:
        works = [asked(slots, first.decoded), asked(slots, second.picture)]
        await until_granted(slots)
        waits = [asked(slots, b"ok") for _ in range(2)]
        await until_taken(slots)
        second.open("ok")
        await waits[1]
        assert not waits[0].done(), "it is behind the one that still works"
        first.open("ok")
        await asyncio.gather(*works, *waits)


async def test_an_idle_child_is_asked_before_one_with_a_credit(config: Config, first: Gate) -> None:
    async with open_slots(config, 2, 60) as slots:
        at_work = asked(slots, first.decoded)
        await until_granted(slots)
        for _ in range(10):
            assert (await slots.ask(REQUEST, b"ok")).reply.status is Status.NO_FACES
        first.open("ok")
        await at_work


@pytest.mark.parametrize("end", ["signal 9", "hang", "allocate", "babble"])
async def test_a_picture_that_costs_its_process_costs_the_one_behind_it_nothing(
    end: str, config: Config, first: Gate, clock: LoopClock
) -> None:
    async with open_slots(config, 1, 1000) as slots:
        at_work = asked(slots, first.decoded)
        await until_granted(slots)
        waits = [asked(slots, b"damaged behind") for _ in range(3)]
        await until_taken(slots)
        first.open(end)
        if end == "hang":
            clock.pass_by(1000)
        with pytest.raises(SlotCrashed):
            await at_work
        assert [(await one).reply.reason for one in waits] == ["behind"] * 3


@pytest.mark.parametrize("end", ["signal 9", "exit 3"])
async def test_a_picture_that_waited_in_the_pipe_is_blamed_for_what_it_does_in_its_turn(
    end: str, config: Config, first: Gate
) -> None:
    async with open_slots(config, 1, 60) as slots:
        at_work = asked(slots, first.decoded)
        await until_granted(slots)
        waits = asked(slots, end.encode())
        await until_taken(slots)
        first.open("damaged first")
        assert (await at_work).reply.reason == "first"
        with pytest.raises(SlotCrashed):
            await waits


async def test_the_time_limit_of_a_picture_begins_with_its_turn(
    config: Config, first: Gate, second: Gate, clock: LoopClock
) -> None:
    async with open_slots(config, 1, 1000) as slots:
        at_work = asked(slots, first.decoded)
        await until_granted(slots)
        waits = asked(slots, second.decoded)
        await until_taken(slots)
        clock.pass_by(600)
        first.open("ok")
        await at_work
        clock.pass_by(600)  # 1200 since it was sent, 600 since its turn came
        await until_granted(slots)
        assert not waits.done()
        clock.pass_by(400)
        with pytest.raises(SlotCrashed, match="took longer than 1000 s"):
            await waits


async def test_a_request_that_is_given_up_in_the_pipe_leaves_the_one_before_it_alone(
    config: Config, first: Gate
) -> None:
    async with open_slots(config, 1, 60) as slots:
        before = slots.pids
        at_work = asked(slots, first.decoded)
        await until_granted(slots)
        waits = asked(slots, b"ok")
        await until_taken(slots)
        waits.cancel()
        await asyncio.wait([waits])
        first.open("damaged first")
        assert (await at_work).reply.reason == "first"
        assert (await slots.ask(REQUEST, b"damaged next")).reply.reason == "next"
        assert slots.pids != before, "an answer that nobody wants was on its way"


async def test_a_request_that_is_given_up_as_its_turn_comes_costs_no_slot(
    config: Config, first: Gate
) -> None:
    async def ask_and_give_up_the_next() -> SlotAnswer:
        answer = await slots.ask(REQUEST, first.decoded)
        waits.cancel()  # it has the turn since this very step of the loop, and has not run yet
        return answer

    async with open_slots(config, 1, 60) as slots:
        at_work = asyncio.create_task(ask_and_give_up_the_next())
        await until_granted(slots)
        waits = asked(slots, b"ok")
        await until_taken(slots)
        first.open("damaged first")
        assert (await at_work).reply.reason == "first"
        await asyncio.wait([waits])
        assert waits.cancelled()
        assert (await slots.ask(REQUEST, b"damaged next")).reply.reason == "next"
