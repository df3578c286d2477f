"""What does not answer puts off only what needs it, and brings it back when it answers."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from unittest.mock import AsyncMock

import pytest

from shared.errors import Unreachable
from shared.messages import ImageMessage
from shared.streams import away as away_module
from shared.streams.away import Away
from shared.streams.keys import DEAD, IMAGES, RESULTS
from shared.streams.later import WaitingSets, WaitsFor
from shared.streams.stage import Later, Outcome, Work
from tests.support.logs import recorded
from tests.support.servers import RedisServer
from tests.support.stages import Suite, image, pass_on, running, suite_on
from tests.support.waiting import wait_until

BUCKET = "s3://away"


def waiting_sets(suite: Suite) -> WaitingSets:
    return WaitingSets(suite.client, suite.keys, IMAGES, suite.settings.high_water)


class Handler:
    """A handler whose pictures named `away-...` need a bucket that may not answer."""

    def __init__(self, away: Away) -> None:
        self.away = away
        self.is_back = False
        self.asked = 0
        self.tried: Counter[str] = Counter()
        self.attempts: set[int] = set()

    async def ask(self) -> None:
        self.asked += 1
        self.see()

    def see(self) -> None:
        if not self.is_back:
            raise Unreachable("s3://away: 503 Slow Down")

    async def __call__(self, works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        return [await self.one(work) for work in works]

    async def one(self, work: Work[ImageMessage]) -> Outcome:
        if work.message.name.startswith("away"):
            if later := self.away.later(BUCKET):
                return later
            self.tried[work.message.name] += 1
            try:
                self.see()
            except Unreachable as error:
                return self.away.report(BUCKET, str(error), self.ask)
        self.attempts.add(work.attempt)
        return (await pass_on([work]))[0]


@asynccontextmanager
async def handling(suite: Suite) -> AsyncIterator[Handler]:
    """A consumer at work with such a handler."""
    away = Away(waiting_sets(suite))
    handler = Handler(away)
    try:
        async with running(suite, handler, concurrency=4):
            yield handler
    finally:
        await away.close()


def some(count: int) -> list[ImageMessage]:
    return [image(f"away-{n}.jpg") for n in range(count)]


async def all_wait(suite: Suite, count: int) -> None:
    async def wait() -> bool:
        return await waiting_sets(suite).count(BUCKET) == count

    await wait_until(wait, f"{count} wait")


async def done(suite: Suite, count: int) -> None:
    async def are() -> bool:
        return await suite.length(RESULTS) == count

    await wait_until(are, f"{count} are done", 60)


async def test_others_go_on_and_what_waits_is_untried_until_it_answers(redis_url: str) -> None:
    async with suite_on(redis_url, max_attempts=1, max_deliveries=2) as suite:
        others = [image(f"here-{n}.jpg") for n in range(50)]
        await suite.add_all([one for pair in zip(some(50), others, strict=True) for one in pair])
        async with handling(suite) as handler:
            await done(suite, 50)
            await all_wait(suite, 50)
            assert handler.tried.total() <= 10, "the rest were put off untried"
            await wait_until(lambda: handler.asked >= 2, "it is asked again and again")
            handler.is_back = True
            await done(suite, 100)
        assert handler.attempts == {1}
        assert await suite.length(DEAD) == 0
        assert await waiting_sets(suite).by_key() == []
        assert await suite.left_behind() == [suite.keys.in_flight.encode()]


async def test_what_waits_for_what_and_why_can_be_read(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        await suite.add_all(some(3))
        async with handling(suite):
            await all_wait(suite, 3)
            found = await waiting_sets(suite).by_key()
            assert found == [WaitsFor(BUCKET, 3, "s3://away: 503 Slow Down")]


async def test_only_what_waits_for_the_key_comes_back(redis_url: str) -> None:
    async def put_off(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        return [Later(3600, work.message.name.partition("-")[0], "why") for work in works]

    async with suite_on(redis_url) as suite:
        await suite.add_all([image(f"{'one' if n % 3 else 'other'}-{n}.jpg") for n in range(900)])
        sets = waiting_sets(suite)
        async with running(suite, put_off, concurrency=4, batch=50):

            async def wait() -> bool:
                return await sets.total() == 900

            await wait_until(wait, "all wait", 60)
        assert await sets.bring_back("other") == 300
        assert await sets.by_key() == [WaitsFor("one", 600, "why")]
        assert await suite.length(IMAGES) == 300
        assert await sets.bring_back("nobody waits for this") == 0
        assert await sets.total() == 600


async def test_an_entry_is_let_through_now_and_then(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(away_module, "TRIAL_FIRST_SECONDS", 0.05)
    monkeypatch.setattr(away_module, "TRIAL_CAP_SECONDS", 0.05)
    async with suite_on(redis_url) as suite, handling(suite) as handler:
        await suite.add_all(some(1))
        await all_wait(suite, 1)

        async def tried_twice() -> bool:
            await suite.add_all(some(1))
            return handler.tried.total() > 4

        await wait_until(tried_twice, "some of those that came later were tried")
        handler.is_back = True


async def test_what_answers_is_forgotten_before_redis_takes_what_waited_back(
    own_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(away_module, "ASK_FIRST_SECONDS", 0.2)
    monkeypatch.setattr(away_module, "ASK_CAP_SECONDS", 0.2)
    async with suite_on(own_server.url) as suite:
        await suite.add_all(some(5))
        async with handling(suite) as handler:
            await all_wait(suite, 5)
            own_server.kill()
            handler.is_back = True
            await wait_until(lambda: handler.away.later(BUCKET) is None, "it is forgotten")
            own_server.start()
            await done(suite, 5)


async def test_a_question_that_is_never_answered_does_not_keep_the_next_from_being_asked(
    redis_url: str,
) -> None:
    asked = 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        if asked < 3:
            await asyncio.Event().wait()

    async with suite_on(redis_url) as suite:
        away = Away(waiting_sets(suite))
        away.report(BUCKET, "silent", ask)
        await wait_until(lambda: asked == 3 and away.later(BUCKET) is None, "it is forgotten")
        await away.close()


async def test_each_way_is_logged_once(redis_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    log = recorded(monkeypatch, "shared.streams.away")
    async with suite_on(redis_url) as suite:
        await suite.add_all(some(20))
        async with handling(suite) as handler:
            await all_wait(suite, 20)
            handler.is_back = True
            await done(suite, 20)
    assert log.text.count("does not answer") == 1
    assert log.text.count("answers again") == 1


async def test_a_bug_in_what_asks_does_not_keep_entries_for_good(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = recorded(monkeypatch, "shared.streams.away")

    async def broken() -> None:
        raise KeyError("an" + "na.jpg")

    async with suite_on(redis_url) as suite:
        away = Away(waiting_sets(suite))
        assert away.report(BUCKET, "503", broken).reason == "503"
        await wait_until(lambda: away.later(BUCKET) is None, "it is forgotten")
        await away.close()
    assert "in broken" in log.text
    assert "anna.jpg" not in log.text, "words may quote the name of a file"


@pytest.mark.parametrize("turns", range(6))
async def test_one_that_is_closed_just_as_it_has_its_answer_brings_nothing_back_afterwards(
    turns: int, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(away_module, "ASK_FIRST_SECONDS", 0.01)
    asked, answer = asyncio.Event(), asyncio.Event()

    async def ask() -> None:
        asked.set()
        await answer.wait()

    async with suite_on(redis_url) as suite:
        before = asyncio.all_tasks()
        away = Away(waiting_sets(suite))
        away.report(BUCKET, "silent", ask)
        await asked.wait()
        answer.set()
        for _ in range(turns):
            await asyncio.sleep(0)
        await away.close()
        for _ in range(3):  # a question that was cancelled ends in the next turn
            await asyncio.sleep(0)
        assert asyncio.all_tasks() == before


@pytest.mark.parametrize("ends", ["drains", "is killed"])
async def test_what_waits_comes_back_soon_where_whoever_asked_has_ended(
    ends: str, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(away_module, "WAIT_SECONDS", (600.0, 600.0))
    async with suite_on(redis_url) as suite:
        await suite.add_all(some(20))
        with monkeypatch.context() as patched:
            async with handling(suite):
                await all_wait(suite, 20)
                if ends == "is killed":  # nobody says that it has ended
                    patched.setattr(WaitingSets, "asks", AsyncMock())
        assert await waiting_sets(suite).count(BUCKET) == 20
        async with handling(suite) as handler:
            handler.is_back = True
            await done(suite, 20)
            assert handler.attempts == {1}
