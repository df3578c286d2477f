"""Entries that are put off wait outside of their stream, hold up nobody, and come back whole."""

import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from shared.messages import ImageMessage
from shared.streams.keys import DEAD, IMAGES, RESULTS
from shared.streams.later import WaitingSets
from shared.streams.stage import Later, Outcome, Retry, Work
from shared.streams.stats import read_stats
from tests.support.stages import Suite, image, pass_on, running, suite_on
from tests.support.waiting import wait_until

LONG = 3600.0
"""Seconds no test waits for."""


def waiting_sets(suite: Suite) -> WaitingSets:
    return WaitingSets(suite.client, suite.keys, IMAGES, suite.settings.high_water)


class Bucket:
    """A handler whose pictures named `slow-...` need a bucket that answers only once it is back."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self.is_back = False
        self.attempts: Counter[str] = Counter()

    async def __call__(self, works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        outcomes: list[Outcome] = []
        for work in works:
            if work.message.name.startswith("slow") and not self.is_back:
                outcomes.append(Later(self.seconds, "bucket"))
            else:
                self.attempts[work.message.name] = work.attempt
                outcomes += await pass_on([work])
        return outcomes


async def results(suite: Suite, count: int) -> bool:
    return await suite.length(RESULTS) == count


async def some_wait(suite: Suite) -> bool:
    return await waiting_sets(suite).total() > 0


async def is_dead(suite: Suite) -> bool:
    return await suite.length(DEAD) > 0


async def test_what_waits_for_a_bucket_holds_up_nobody_else(redis_url: str) -> None:
    slow = [image(f"slow-{n}.jpg") for n in range(200)]
    quick = [image(f"quick-{n}.jpg") for n in range(200)]
    async with suite_on(redis_url) as suite:
        await suite.add_all([one for pair in zip(slow, quick, strict=True) for one in pair])
        async with running(suite, Bucket(LONG), concurrency=2):
            await wait_until(lambda: results(suite, 200), "all others are done")
            sets = waiting_sets(suite)

            async def all_wait() -> bool:
                return await sets.count("bucket") == 200

            await wait_until(all_wait, "all that need the bucket wait")
        assert await suite.length(IMAGES) == 0
        names = {one.name for one in await suite.results()}
        assert names == {one.name for one in quick}


async def test_it_comes_back_by_itself_as_if_it_had_never_been_tried(redis_url: str) -> None:
    bucket = Bucket(0.2)
    async with suite_on(redis_url, max_attempts=2, max_deliveries=2) as suite:
        message = await suite.add_with_body(b"pixels")
        slow = image("slow.jpg")
        await suite.add_all([slow])
        refusals = 0

        async def often(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
            nonlocal refusals
            refusals += works[0].message.id == slow.id
            bucket.is_back = refusals > 5
            return await bucket(works)

        async with running(suite, often):
            await wait_until(lambda: results(suite, 2), "both are done")
        assert bucket.attempts == {"slow.jpg": 1, message.name: 1}
        assert await suite.length(DEAD) == 0
        assert await suite.left_behind() == [suite.keys.in_flight.encode()]


async def test_it_stays_in_flight_and_keeps_its_payload_while_it_waits(redis_url: str) -> None:
    async def put_off(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        return [Later(LONG, "bucket")] * len(works)

    async with suite_on(redis_url, lease_seconds=1) as suite:
        message = await suite.add_with_body(b"pixels")
        assert message.payload is not None
        async with running(suite, put_off):
            await wait_until(lambda: some_wait(suite), "it waits")
        assert not await suite.producer.add(message), "its twin is refused"
        key = suite.keys.payload(message.payload.id)
        assert await suite.client.get(key) == b"pixels"
        assert await suite.client.ttl(key) == -1
        assert await suite.bytes_held(IMAGES) == 0, "its place in the stream is free"
        stats = await read_stats(suite.client, suite.keys)
        assert stats.stream(IMAGES).later == 1


async def test_failed_attempts_are_remembered_over_a_wait(redis_url: str) -> None:
    seen: list[int] = []

    async def fail_then_wait(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        seen.append(works[0].attempt)
        match len(seen):
            case 2:
                return [Later(0.1, "bucket")]
            case _:
                return [Retry("storage failed")]

    async with suite_on(redis_url, max_attempts=3, lease_seconds=1) as suite:
        await suite.add_all([image()])
        async with running(suite, fail_then_wait):
            await wait_until(lambda: is_dead(suite), "a dead letter")
        assert seen == [1, 2, 2, 3], "a wait is no attempt"
        [letter] = await suite.entries(DEAD)
        assert letter[b"history"].count(b"storage failed") == 3


async def test_a_consumer_that_did_not_put_it_off_brings_it_back(redis_url: str) -> None:
    async with suite_on(redis_url, lease_seconds=1) as suite:
        await suite.add_all([image("slow.jpg")])
        async with running(suite, Bucket(0.3)):
            await wait_until(lambda: some_wait(suite), "it waits")
        back = Bucket(LONG)
        back.is_back = True
        async with running(suite, back):
            await wait_until(lambda: results(suite, 1), "another consumer does it")


async def test_a_key_at_its_bound_is_full_and_others_are_not(redis_url: str) -> None:
    async with suite_on(redis_url, high_water=5) as suite:
        sets = waiting_sets(suite)
        async with running(suite, Bucket(LONG)):
            for n in range(5):
                assert not await sets.is_full("bucket")
                await suite.add_all([image(f"slow-{n}.jpg")])

                async def waits(count: int = n + 1) -> bool:
                    return await sets.count("bucket") == count

                await wait_until(waits, "one more waits")
        assert await sets.is_full("bucket")
        assert not await sets.is_full("another bucket")


async def test_kills_while_entries_wait_lose_and_double_nothing(redis_url: str) -> None:
    async with suite_on(redis_url, lease_seconds=1) as suite:
        await suite.add_all([image(f"slow-{n}.jpg") for n in range(100)])
        for _ in range(3):
            with killed_at_the_end(redis_url):
                begun = await returns(suite)

                async def some_came_back(before: int = begun) -> bool:
                    return await returns(suite) > before and await waiting_sets(suite).total() > 0

                await wait_until(some_came_back, "some wait, and some came back")
        back = Bucket(LONG)
        back.is_back = True
        async with running(suite, back, concurrency=4):
            await wait_until(lambda: results(suite, 100), "all are done at last")
        ended = Counter(one.id for one in await suite.results())
        assert len(ended) == 100 and set(ended.values()) == {1}
        assert await waiting_sets(suite).total() == 0
        assert await suite.left_behind() == [suite.keys.in_flight.encode()]


async def returns(suite: Suite) -> int:
    """How many entries were ever added to the stream: each return adds one anew."""
    info = await suite.client.xinfo_stream(suite.keys.stream(IMAGES))
    return int(info["entries-added"])


@contextmanager
def killed_at_the_end(url: str) -> Iterator[None]:
    """A detector in a process of its own that puts everything off."""
    command = [sys.executable, "-m", "tests.support.putting_off", url, "0.2"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        process.kill()
        process.wait()
