"""Hand-offs of many workers share calls, each gets its own answers; commands are packed right."""

import asyncio
from collections.abc import Sequence
from typing import cast

import pytest
from redis.asyncio import Connection
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.streams.batching import HandOffBatching
from shared.streams.client import connect
from shared.streams.entries import Membership, delivery
from shared.streams.handoff import HandOff, Item
from shared.streams.high_water import HighWaterMarks
from shared.streams.keys import IMAGES, RESULTS
from shared.streams.scripts import Answer, Scripts
from shared.streams.stage import Done, Output
from tests.support.clock import LoopClock, clock
from tests.support.entries import entries_in
from tests.support.stages import Suite, image, result_of, suite_on
from tests.support.waiting import wait_until

__all__ = ["clock"]


class Gate:
    """A hand-off whose calls end when the test says so."""

    def __init__(self) -> None:
        self.calls: list[list[Item]] = []
        self.open = asyncio.Semaphore(0)
        self.fail_next = False

    async def send(self, items: Sequence[Item]) -> list[Answer]:
        self.calls.append(list(items))
        await self.open.acquire()
        if self.fail_next:
            self.fail_next = False
            raise RedisConnectionError("cut")
        return [Answer.DONE if item.delivery.deliveries == 1 else Answer.LOST for item in items]


def item(deliveries: int = 1, outputs: int = 0) -> Item:
    message = image()
    done = Done(tuple(Output(result_of(message)) for _ in range(outputs)))
    return Item(delivery(b"1-1", {}, deliveries), message, done)


def gathering_through(gate: Gate) -> HandOffBatching:
    return HandOffBatching(cast(HandOff, gate))


async def test_what_comes_while_a_call_is_under_way_shares_the_next() -> None:
    gate = Gate()
    batching = gathering_through(gate)
    first = asyncio.create_task(batching.send([item()]))
    await wait_until(lambda: len(gate.calls) == 1, "the first goes at once")
    later = [asyncio.create_task(batching.send([item(n), item()])) for n in (1, 2, 1)]
    await asyncio.gather(*(asyncio.wait([one], timeout=0) for one in later))
    gate.open.release()
    assert await first == [Answer.DONE]
    gate.open.release()
    assert await asyncio.gather(*later) == [
        [Answer.DONE, Answer.DONE],
        [Answer.LOST, Answer.DONE],
        [Answer.DONE, Answer.DONE],
    ]
    assert [len(call) for call in gate.calls] == [1, 6]


async def test_a_call_stays_within_its_size() -> None:
    gate = Gate()
    batching = gathering_through(gate)
    waiting = [asyncio.create_task(batching.send([item(outputs=90)])) for _ in range(4)]
    for _ in range(4):
        gate.open.release()
    await asyncio.gather(*waiting)
    assert [len(call) for call in gate.calls] == [2, 2]


async def test_a_full_call_begins_while_another_is_under_way_and_no_smaller_one() -> None:
    gate = Gate()
    batching = gathering_through(gate)
    sent = [asyncio.create_task(batching.send([item()]))]
    await wait_until(lambda: len(gate.calls) == 1, "the first goes at once")
    sent.append(asyncio.create_task(batching.send([item(outputs=100)])))
    await asyncio.wait(sent, timeout=0)
    assert len(gate.calls) == 1
    sent.append(asyncio.create_task(batching.send([item(outputs=99)])))
    await wait_until(lambda: len(gate.calls) == 2, "a full call goes beside the first")
    sent += [asyncio.create_task(batching.send([item(outputs=250)])) for _ in range(2)]
    await asyncio.wait(sent, timeout=0)
    assert [len(call) for call in gate.calls] == [1, 1]

    for _ in range(5):
        gate.open.release()
    assert await asyncio.gather(*sent) == [[Answer.DONE]] * 5


async def test_with_a_pause_calls_wait_for_it_unless_enough_have_gathered() -> None:
    gate = Gate()
    batching = HandOffBatching(cast(HandOff, gate), pause=3600, enough=3)
    for _ in range(9):
        gate.open.release()
    assert await batching.send([item()]) == [Answer.DONE]
    early = [asyncio.create_task(batching.send([item()])) for _ in range(2)]
    await asyncio.wait(early, timeout=0.05)
    assert [len(call) for call in gate.calls] == [1]
    await batching.send([item()])
    await asyncio.gather(*early)
    assert [len(call) for call in gate.calls] == [1, 3]


async def test_when_the_pause_is_over_a_call_goes_with_whoever_waits(clock: LoopClock) -> None:
    gate = Gate()
    batching = HandOffBatching(cast(HandOff, gate), pause=3600, enough=100)
    for _ in range(9):
        gate.open.release()
    await batching.send([item()])
    waiting = [asyncio.create_task(batching.send([item()])) for _ in range(3)]
    await asyncio.wait(waiting, timeout=0.05)
    assert [len(call) for call in gate.calls] == [1]
    clock.pass_by(3600)
    await asyncio.gather(*waiting)
    assert [len(call) for call in gate.calls] == [1, 3]


async def test_an_error_reaches_those_of_that_call_and_no_others() -> None:
    gate = Gate()
    batching = gathering_through(gate)
    gate.fail_next = True
    failing = asyncio.create_task(batching.send([item()]))
    await wait_until(lambda: len(gate.calls) == 1, "the first call is under way")
    next_one = asyncio.create_task(batching.send([item()]))
    gate.open.release()
    with pytest.raises(RedisConnectionError):
        await failing
    gate.open.release()
    assert await next_one == [Answer.DONE]


async def test_a_cancelled_worker_takes_no_other_with_it() -> None:
    gate = Gate()
    batching = gathering_through(gate)
    first, second = (asyncio.create_task(batching.send([item()])) for _ in range(2))
    await wait_until(lambda: len(gate.calls) == 1, "both are under way")
    first.cancel()
    gate.open.release()
    assert await second == [Answer.DONE]
    await asyncio.wait([first])
    assert first.cancelled()


async def handoff_of(suite: Suite, count: int) -> tuple[HandOff, list[Item]]:
    """A hand-off, and so many entries that its consumer holds, with their outcome."""
    messages = [image(f"{n}.jpg") for n in range(count)]
    await suite.add_all(messages)
    stream = suite.keys.stream(IMAGES)
    await suite.client.xgroup_create(stream, "detector", id="0")
    await suite.client.xreadgroup("detector", "me", {stream: ">"})
    delivered = entries_in(await suite.client.xrange(stream))
    handoff = HandOff(
        suite.client,
        Scripts(suite.client, suite.keys),
        suite.keys,
        await HighWaterMarks.of(suite.client, suite.settings),
        Membership(stream, "detector", "me", suite.keys.history(IMAGES)),
    )
    return handoff, [
        Item(delivery(*entry), message, Done((Output(result_of(message)),)))
        for entry, message in zip(delivered, messages, strict=True)
    ]


async def test_the_same_entry_twice_in_one_call_is_handed_off_once(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        handoff, (first, second) = await handoff_of(suite, 2)
        assert await handoff.send([first, second, first]) == [
            Answer.DONE,
            Answer.DONE,
            Answer.LOST,
        ]
        assert await suite.length(RESULTS) == 2
        assert await suite.pending(IMAGES, "detector") == 0
        assert await suite.bytes_held(IMAGES) == 0


async def test_a_call_looks_once_at_what_is_pending_in_whatever_order_it_comes(
    redis_url: str,
) -> None:
    async def looks() -> int:
        stats = await suite.client.info("commandstats")
        return int(stats.get("cmdstat_xpending", {"calls": 0})["calls"])

    async with suite_on(redis_url) as suite:
        handoff, items = await handoff_of(suite, 30)
        before = await looks()
        assert await handoff.send(items[15:] + items[:15]) == [Answer.DONE] * 30
        assert await looks() == before + 1


@pytest.mark.parametrize(
    "command",
    [
        ("SET", "key", b"\x00\r\n\xff", "EX", 5),
        ("XGROUP CREATE", "stream", "group", "0", "MKSTREAM"),
        ("EVALSHA", "0" * 40, 1, "é", 1.5, b""),
    ],
)
async def test_commands_are_packed_as_redis_py_packs_them(
    redis_url: str, command: tuple[str | bytes | int | float, ...]
) -> None:
    async with suite_on(redis_url) as suite:
        pool = connect(suite.settings.redis_url).connection_pool
        ours = pool.make_connection()  # type: ignore[no-untyped-call]  # of redis-py
        theirs = b"".join(Connection().pack_command(*command))
        assert b"".join(ours.pack_command(*command)) == theirs


async def test_when_all_that_is_held_has_gathered_nothing_is_waited_for() -> None:
    gate = Gate()
    held = 5
    batching = HandOffBatching(cast(HandOff, gate), pause=3600, enough=100, held=lambda: held)
    for _ in range(9):
        gate.open.release()
    await batching.send([item()])
    early = [asyncio.create_task(batching.send([item(), item()])) for _ in range(2)]
    await asyncio.wait(early, timeout=0.05)
    assert [len(call) for call in gate.calls] == [1]
    await batching.send([item()])
    await asyncio.gather(*early)
    assert [len(call) for call in gate.calls] == [1, 5]
