"""A stage reads, handles and hands off: what goes in comes out once, and nothing is left behind."""

import asyncio
from collections.abc import Sequence

import pytest

from shared.errors import Unreachable
from shared.health import Health
from shared.messages import SCHEMA_VERSION, ImageMessage, Payload
from shared.reasons import Reason
from shared.streams.dead import DeadLetters
from shared.streams.keys import DEAD, IMAGES, RESULTS
from shared.streams.stage import Dead, Done, Outcome, Output, Retry, Work
from tests.support.logs import recorded
from tests.support.stages import Suite, image, pass_on, result_of, running, suite_on
from tests.support.waiting import wait_until


async def test_every_image_becomes_one_result(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        images = [image(f"{n}.jpg") for n in range(50)]
        await suite.add_all(images)
        async with running(suite, concurrency=4):
            await wait_until(lambda: suite_has(suite, RESULTS, 50), "50 results")
            await wait_until(lambda: suite_has(suite, IMAGES, 0), "no image is left")
        assert {one.id for one in await suite.results()} == {one.id for one in images}
        assert await suite.bytes_held(IMAGES) == 0


async def suite_has(suite: Suite, name: str, count: int) -> bool:
    return await suite.length(name) == count


async def test_an_image_under_way_is_not_added_a_second_time(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        twin = image()
        assert await suite.producer.add(twin)
        assert not await suite.producer.add(twin)
        assert await suite.length(IMAGES) == 1


async def test_a_body_goes_with_its_entry(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        message = await suite.add_with_body(b"pixels")
        assert message.payload is not None
        key = suite.keys.payload(message.payload.id)
        assert await suite.client.ttl(key) == -1, "an owned payload does not expire"
        held = await suite.bytes_held(IMAGES)
        assert held > len(b"pixels")
        async with running(suite):
            await wait_until(lambda: suite_has(suite, IMAGES, 0), "the image is finished")
        assert not await suite.client.exists(key)


async def test_a_body_that_is_carried_on_stays(redis_url: str) -> None:
    async def carry(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        return [
            Done((Output(result_of(work.message, payload=work.message.payload)),)) for work in works
        ]

    async with suite_on(redis_url) as suite:
        message = await suite.add_with_body(b"pixels")
        assert message.payload is not None
        async with running(suite, carry):
            await wait_until(lambda: suite_has(suite, RESULTS, 1), "the result is there")
        assert await suite.client.get(suite.keys.payload(message.payload.id)) == b"pixels"


async def test_new_bodies_are_stored_with_the_result(redis_url: str) -> None:
    async def draw(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        payload = Payload.of(b"drawn")
        return [Done((Output(result_of(works[0].message, payload=payload), {payload: b"drawn"}),))]

    async with suite_on(redis_url) as suite:
        await suite.add_all([image()])
        async with running(suite, draw):
            await wait_until(lambda: suite_has(suite, RESULTS, 1), "the result is there")
        payload = (await suite.results())[0].payload
        assert payload is not None
        key = suite.keys.payload(payload.id)
        assert await suite.client.get(key) == b"drawn"
        assert await suite.client.ttl(key) == -1


async def test_a_failed_attempt_is_repeated_after_a_delay(redis_url: str) -> None:
    attempts: list[int] = []

    async def fail_once(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        attempts.append(works[0].attempt)
        return [Retry("not yet")] if len(attempts) == 1 else await pass_on(works)

    async with suite_on(redis_url) as suite:
        await suite.add_all([image()])
        async with running(suite, fail_once):
            await wait_until(lambda: suite_has(suite, RESULTS, 1), "the second attempt succeeds")
        assert attempts == [1, 2]
        assert not await suite.client.exists(suite.keys.history("images"))


async def test_the_last_failed_attempt_makes_a_dead_letter_and_a_failed_result(
    redis_url: str,
) -> None:
    async def fail(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        return [Retry("its process was killed")] * len(works)

    async with suite_on(redis_url, max_attempts=2) as suite:
        message = await suite.add_with_body(b"poison")
        async with running(suite, fail):
            await wait_until(lambda: suite_has(suite, DEAD, 1), "a dead letter")
        letter = (await suite.entries(DEAD))[0]
        assert letter[b"reason"] == b"its process was killed"
        assert letter[b"history"].count(b"its process was killed") == 2
        assert ImageMessage.decode(letter[b"m"]) == message
        result = (await suite.results())[0]
        assert (result.status, result.reason) == ("failed", "its process was killed")
        assert result.attempts == 2
        assert message.payload is not None
        kept = await suite.client.get(suite.keys.payload(message.payload.id))
        assert kept == b"poison", "kept for replay"
        assert await suite.length(IMAGES) == 0


@pytest.mark.parametrize(
    ("reasons", "attempts"),
    [
        ([Reason.TIMEOUT], 2),
        ([Reason.CRASH, Reason.TIMEOUT], 2),
        ([Reason.TIMEOUT, Reason.CRASH, Reason.CRASH, Reason.CRASH], 4),
        ([Reason.CRASH], 5),
    ],
)
async def test_what_takes_too_long_is_tried_again_once_whatever_the_setting_says(
    reasons: list[Reason], attempts: int, redis_url: str
) -> None:
    tried: list[Reason] = []

    async def fail(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        tried.append(reasons[min(len(tried), len(reasons) - 1)])
        return [Retry("took longer", tried[-1])] * len(works)

    most = 4 if len(reasons) == 4 else 5
    async with suite_on(redis_url, max_attempts=most, lease_seconds=1) as suite:
        await suite.add_all([image()])
        async with running(suite, fail):
            await wait_until(lambda: suite_has(suite, DEAD, 1), "a dead letter")
        assert len(tried) == attempts
        assert (await suite.results())[0].attempts == attempts


async def test_a_final_failure_is_not_repeated(redis_url: str) -> None:
    async def refuse(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        return [Dead("never")] * len(works)

    async with suite_on(redis_url) as suite:
        await suite.add_all([image()])
        async with running(suite, refuse):
            await wait_until(lambda: suite_has(suite, DEAD, 1), "a dead letter")
        assert (await suite.entries(DEAD))[0][b"history"].count(b"never") == 1


async def test_an_unreadable_message_becomes_a_dead_letter_with_its_reason(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        await suite.client.xadd(suite.keys.stream(IMAGES), {"m": b"\x80\x04 not ours"})
        await suite.client.xadd(suite.keys.stream(IMAGES), {"other": b"field"})
        async with running(suite):
            await wait_until(lambda: suite_has(suite, DEAD, 2), "both are dead letters")
        reasons = [letter[b"reason"] for letter in await suite.entries(DEAD)]
        assert all(b"not a ImageMessage" in reason for reason in reasons)


async def test_a_newer_message_is_left_for_a_newer_consumer(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        encoded = image().encode().replace(b'"v":%d' % SCHEMA_VERSION, b'"v":99')
        await suite.client.xadd(suite.keys.stream(IMAGES), {"m": encoded})
        await suite.add_all([image()])
        async with running(suite):
            await wait_until(lambda: suite_has(suite, RESULTS, 1), "the other image is done")
        assert await suite.length(DEAD) == 0
        assert await suite.pending(IMAGES, "detector") == 1


async def test_a_bug_in_a_handler_costs_an_attempt_and_not_the_stage(redis_url: str) -> None:
    async def stumble(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        if works[0].message.name == "bad.jpg":
            raise ZeroDivisionError("oops")
        return await pass_on(works)

    async with suite_on(redis_url, max_attempts=1) as suite:
        await suite.add_all([image("bad.jpg"), image("good.jpg")])
        async with running(suite, stumble):
            await wait_until(lambda: suite_has(suite, RESULTS, 2), "both have an end")
        reasons = {one.name: one.reason for one in await suite.results()}
        assert reasons == {"bad.jpg": "ZeroDivisionError: oops", "good.jpg": ""}


async def test_while_a_server_is_away_messages_are_kept_and_nobody_is_blamed(
    redis_url: str,
) -> None:
    away = asyncio.Event()
    health = Health()
    health.ready("start")
    attempts: list[int] = []

    async def reach(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        if not away.is_set():
            raise Unreachable("the database cannot be reached")
        attempts.append(works[0].attempt)
        return await pass_on(works)

    async with suite_on(redis_url) as suite:
        await suite.add_all([image()])
        async with running(suite, reach, health):
            reason = {"detector": "the database cannot be reached"}
            await wait_until(lambda: health.problems == reason, "readiness says why")
            assert await suite.length(IMAGES) == 1
            away.set()
            await wait_until(lambda: suite_has(suite, RESULTS, 1), "it goes on")
            assert health.problems == {}
        assert attempts == [1]


async def test_a_batch_is_handled_and_handed_off_together(redis_url: str) -> None:
    sizes: list[int] = []

    async def count(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        sizes.append(len(works))
        return await pass_on(works)

    async with suite_on(redis_url) as suite:
        await suite.add_all([image() for _ in range(200)])
        async with running(suite, count, batch=100, linger=0.5):
            await wait_until(lambda: suite_has(suite, RESULTS, 200), "200 results")
        assert sizes == [100, 100]


async def test_a_full_stream_makes_its_producer_wait(redis_url: str) -> None:
    async with suite_on(redis_url, high_water=10) as suite, running(suite):
        adding = asyncio.create_task(suite.add_all([image() for _ in range(30)]))
        await wait_until(lambda: suite_has(suite, RESULTS, 10), "results are at their mark")
        await wait_until(lambda: suite_has(suite, IMAGES, 10), "and images behind them")
        assert not adding.done()
        await suite.client.xtrim(suite.keys.stream(RESULTS), maxlen=0)
        await wait_until(lambda: suite_has(suite, RESULTS, 10), "more results")
        await suite.client.xtrim(suite.keys.stream(RESULTS), maxlen=0)
        await wait_until(lambda: suite_has(suite, RESULTS, 10), "the rest")
        await adding


async def test_bytes_make_a_stream_full_too(redis_url: str) -> None:
    async with suite_on(redis_url, high_water_bytes=100_000) as suite:
        await suite.add_with_body(b"x" * 150_000)
        adding = asyncio.create_task(suite.add_with_body(b"y" * 10))
        async with running(suite):
            await adding
            await wait_until(lambda: suite_has(suite, RESULTS, 2), "both are done")
        assert await suite.left_behind() == [suite.keys.in_flight.encode()]


async def test_an_empty_stream_always_takes_one(redis_url: str) -> None:
    async with suite_on(redis_url, high_water_bytes=100) as suite:
        await suite.add_with_body(b"x" * 1000)  # or it waits until the test's time limit
        assert await suite.length(IMAGES) == 1


async def test_failures_are_logged_by_id_and_never_by_the_name_of_a_file(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = recorded(monkeypatch, "shared.streams.settling")

    async def refuse(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        return [Retry(f"the file {work.message.name} cannot be read") for work in works]

    async with suite_on(redis_url, max_attempts=2, lease_seconds=1) as suite:
        message = image("anna-at-the-sea.jpg")
        await suite.add_all([message])
        async with running(suite, refuse):
            await wait_until(lambda: suite_has(suite, DEAD, 1), "given up")
        letters = [letter async for letter in DeadLetters(suite.client, suite.settings).all()]
    assert [event for event, _ in said.said] == ["attempt failed", "dead letter"]
    assert message.id in said.text
    assert "anna" not in said.text
    assert "anna-at-the-sea.jpg cannot be read" in letters[0].reason, "where it is told"
