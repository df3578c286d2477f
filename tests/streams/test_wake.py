"""An edge that only wakes its reader: never full, harmless to repeat, one wake-up at a time."""

from collections.abc import Sequence
from typing import ClassVar

import pytest

from shared.messages import ImageMessage, Message
from shared.streams.keys import IMAGES, RESULTS
from shared.streams.stage import Done, Outcome, Output, Work
from shared.streams.topology import STREAMS, StreamKind
from tests.support.entries import entries_in
from tests.support.stages import RECIPE, Suite, image, result_of, running, suite_on
from tests.support.waiting import wait_until

PEOPLE = "people"


class WakeUp(Message):
    """There is something new in the ledger."""

    stream: ClassVar[str] = PEOPLE


@pytest.fixture(autouse=True)
def people(monkeypatch: pytest.MonkeyPatch) -> None:
    """A stream that only wakes, as a service that reads the ledger will have one."""
    kind = StreamKind(PEOPLE, service="grouper", decode=WakeUp.decode, wakes=True)
    monkeypatch.setitem(STREAMS, PEOPLE, kind)


async def wake(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
    """A stage that commits something, and wakes whoever reads what is committed."""
    return [
        Done((Output(result_of(work.message)), Output(wake_up_of(work.message)))) for work in works
    ]


def wake_up_of(message: ImageMessage) -> WakeUp:
    return WakeUp(submission=message.submission, trace=message.trace, recipe=RECIPE)


async def done(suite: Suite, count: int) -> bool:
    return await suite.length(RESULTS) == count


async def test_a_service_that_is_not_deployed_stalls_nothing_and_fills_nothing(
    redis_url: str,
) -> None:
    async with suite_on(redis_url, high_water=10_000) as suite:
        await suite.add_all([image() for _ in range(500)])
        async with running(suite, wake, batch=50):
            await wait_until(lambda: done(suite, 500), "all are done")
        assert await suite.length(PEOPLE) == 1


async def test_a_wake_up_that_was_read_does_not_stand_for_what_came_after(redis_url: str) -> None:
    """Who has been woken may have looked already: what is committed then needs another wake-up."""
    async with suite_on(redis_url) as suite:
        stream = suite.keys.stream(PEOPLE)
        await suite.client.xgroup_create(stream, "grouper", id="0", mkstream=True)
        await suite.add_all([image() for _ in range(3)])
        async with running(suite, wake):
            await wait_until(lambda: done(suite, 3), "three are done")
            assert await suite.length(PEOPLE) == 1
            await suite.client.xreadgroup("grouper", "reader", {stream: ">"})
            await suite.add_all([image() for _ in range(3)])
            await wait_until(lambda: done(suite, 6), "six are done")
        assert await suite.length(PEOPLE) == 2
        assert await suite.pending(PEOPLE, "grouper") == 1


async def test_it_is_not_held_up_where_its_memory_mark_would_be(redis_url: str) -> None:
    async with suite_on(redis_url, high_water=1) as suite:
        await suite.client.xadd(suite.keys.stream(PEOPLE), {"m": b"by hand"})
        await suite.add_all([image()])
        async with running(suite, wake):
            await wait_until(lambda: done(suite, 1), "it is done")
        assert await suite.length(IMAGES) == 0


async def test_one_that_ended_first_does_not_stand_for_one_that_is_unread(redis_url: str) -> None:
    """A reader at work has looked already, whatever wake-ups after its own were finished since."""
    async with suite_on(redis_url) as suite:
        stream = suite.keys.stream(PEOPLE)
        await suite.client.xgroup_create(stream, "grouper", id="0", mkstream=True)
        for reader in ("slow", "quick"):
            await suite.producer.add(wake_up_of(image()))
            await suite.client.xreadgroup("grouper", reader, {stream: ">"})
        (_, last) = [entry for entry, _ in entries_in(await suite.client.xrange(stream))]
        await suite.client.xack(stream, "grouper", last)
        await suite.client.xdel(stream, last)
        await suite.producer.add(wake_up_of(image()))
        assert await suite.client.xreadgroup("grouper", "third", {stream: ">"})
