"""What may take long is waited for as long as whoever does it gives signs of life."""

import asyncio
import threading

import pytest

from shared.errors import Unreachable
from shared.stores import patience
from shared.stores.patience import SignOfLife, in_thread, while_alive


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.01)
    monkeypatch.setattr(patience, "SIGN_SECONDS", 0.05)


async def test_a_call_ends_however_often_it_was_asked_about() -> None:
    enough = asyncio.Event()
    asked = 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        if asked == 5:
            enough.set()

    assert await while_alive(enough.wait(), ask)
    assert asked == 5


async def test_silence_ends_a_call_and_says_why() -> None:
    ended = asyncio.Event()

    async def call() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    async def ask() -> None:
        raise Unreachable("the store does not answer")

    with pytest.raises(Unreachable, match="the store does not answer"):
        await while_alive(call(), ask)
    assert ended.is_set(), "nothing goes on behind its back"


async def test_a_time_limit_within_the_call_stays_the_call_s_own() -> None:
    async def call() -> None:
        raise TimeoutError("of the call")

    with pytest.raises(TimeoutError, match="of the call"):
        await while_alive(call(), asyncio.Event().wait)


async def test_who_asks_while_an_answer_is_outstanding_does_not_ask_anew() -> None:
    answer = asyncio.Event()
    asked = 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        await answer.wait()

    alive = SignOfLife(ask, "the disk does not answer")
    for _ in range(3):
        with pytest.raises(Unreachable, match="the disk does not answer"):
            await alive()
    assert asked == 1
    answer.set()
    await alive()


async def test_what_asking_raises_is_raised_for_all_who_asked() -> None:
    async def ask() -> None:
        await asyncio.sleep(0)
        raise Unreachable("503")

    alive = SignOfLife(ask, "silent")
    answers = await asyncio.gather(*(alive() for _ in range(3)), return_exceptions=True)
    assert [str(answer) for answer in answers] == ["503"] * 3


async def test_an_answer_of_a_moment_ago_is_taken_as_given_only_by_who_says_so() -> None:
    asked = 0

    async def ask() -> None:
        nonlocal asked
        asked += 1

    alive = SignOfLife(ask, "silent")
    for _ in range(3):
        await alive.lately()
    assert asked == 1
    await alive()
    assert asked == 2


async def test_a_thread_that_hangs_keeps_nobody_from_ending() -> None:
    hang = threading.Event()
    calling = asyncio.create_task(in_thread(hang.wait))
    await asyncio.sleep(0)
    calling.cancel()
    with pytest.raises(asyncio.CancelledError):
        await calling
    hanging = [one for one in threading.enumerate() if one.name == "may hang"]
    assert hanging and all(one.daemon for one in hanging)
    hang.set()


async def test_a_thread_s_answer_and_its_error_come_back() -> None:
    def fail() -> None:
        raise KeyError("in the thread")

    assert await in_thread(lambda: 7) == 7
    with pytest.raises(KeyError, match="in the thread"):
        await in_thread(fail)


async def test_whoever_waits_for_an_answer_gets_it_though_others_ask_anew_meanwhile() -> None:
    async def answers() -> None:
        await asyncio.sleep(0)

    alive = SignOfLife(answers, "silent")

    async def asks_again_and_again() -> None:
        for _ in range(50):
            await alive()

    await asyncio.gather(*(asks_again_and_again() for _ in range(10)))
