"""Entries at ids far ahead of the clock: past the last id that there is nothing could be added."""

import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from shared.messages import ImageMessage, Payload
from shared.streams import upkeep
from shared.streams.dead import DeadLetters
from shared.streams.entries import LAST_ID
from shared.streams.handoff import Item
from shared.streams.keys import DEAD, IMAGES, RESULTS, SOURCES
from shared.streams.mending import Mending
from shared.streams.payloads import set_payloads
from shared.streams.scripts import Answer
from shared.streams.stage import Dead, Done, Outcome, Output, Retry, Work
from shared.streams.stats import read_stats
from tests.streams.test_batching import handoff_of
from tests.support.servers import RedisServer, installed_redis
from tests.support.stages import Suite, image, pass_on, result_of, running, suite_on
from tests.support.waiting import wait_until

AHEAD_IDS = (LAST_ID, "18446744073709551615-0", "99999999999999-7")


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is looked for every few seconds is looked for at once."""
    monkeypatch.setattr(upkeep, "SIGN_OF_LIFE_SECONDS", 0.1)


@pytest.fixture(params=["packaged", "installed"])
async def suite(
    request: pytest.FixtureRequest, redis_url: str, tmp_path: Path
) -> AsyncIterator[Suite]:
    """A suite on each of the servers that there are: what ids may be set to differs among them."""
    if request.param == "packaged":
        async with suite_on(redis_url, lease_seconds=1) as opened:
            yield opened
        return
    server = RedisServer(tmp_path / "server", binary=installed_redis())
    server.start()
    try:
        async with suite_on(server.url, lease_seconds=1) as opened:
            yield opened
    finally:
        server.kill()


async def add_by_hand(suite: Suite, stream: str, entry_id: str) -> None:
    """An entry as a stranger adds it."""
    await suite.client.xadd(suite.keys.stream(stream), {"a": "b"}, id=entry_id)


def has(suite: Suite, stream: str, count: int) -> Any:  # Any: a condition for wait_until
    async def held() -> bool:
        return await suite.length(stream) == count

    return held


async def newest_ms(suite: Suite, stream: str) -> int:
    info = await suite.client.xinfo_stream(suite.keys.stream(stream))
    return int(info["last-generated-id"].split(b"-")[0])


async def some_die(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
    """A detector that finds nothing, and to which some pictures are too much."""
    return [
        Dead("not this one")
        if work.message.name == "dies.jpg"
        else Done((Output(result_of(work.message)),))
        for work in works
    ]


@pytest.mark.parametrize("entry_id", AHEAD_IDS)
@pytest.mark.parametrize("stream", [IMAGES, RESULTS, DEAD])
async def test_an_id_far_ahead_holds_up_nothing_for_good_and_loses_and_doubles_nothing(
    suite: Suite, stream: str, entry_id: str
) -> None:
    await suite.add_all([image("before.jpg")])
    await add_by_hand(suite, stream, entry_id)
    await suite.add_all([image("after.jpg"), image("dies.jpg")])
    await read_stats(suite.client, suite.keys)
    strange = {IMAGES: 0, RESULTS: 1, DEAD: 0}[stream]
    async with running(suite, some_die):
        await wait_until(has(suite, RESULTS, 3 + strange), "all have an end")
        await wait_until(has(suite, DEAD, 1 if stream == RESULTS else 2), "the strange one too")
    found = [json.loads(fields.get(b"m") or b"{}") for fields in await suite.entries(RESULTS)]
    ended = sorted(one["name"] for one in found if "name" in one)
    assert ended == ["after.jpg", "before.jpg", "dies.jpg"]
    seconds, _ = await suite.client.time()
    for name in (IMAGES, RESULTS, DEAD):
        if await suite.length(name):
            assert await newest_ms(suite, name) < 1000 * (seconds + 60)
    assert await suite.bytes_held(IMAGES) == 0
    assert len([one async for one in DeadLetters(suite.client, suite.settings).all()]) >= 1


async def test_what_meets_the_last_id_half_way_keeps_the_payloads_of_a_picture_under_way(
    redis_url: str,
) -> None:
    """What is deleted cannot be undone, so that it comes after all that may be refused."""
    async with suite_on(redis_url) as suite:
        handoff, [item] = await handoff_of(suite, 1)
        carried, fresh = Payload.of(b"sent along"), Payload.of(b"new")
        under_way = [image(payload=carried), image(payload=fresh)]
        await set_payloads(suite.client, suite.keys, [(carried, b"sent along")])
        await suite.client.sadd(suite.keys.in_flight, *(one.in_flight for one in under_way))
        outputs = [
            Output(under_way[0]),
            Output(under_way[1], {fresh: b"new"}),
            *item.outcome.outputs,
        ]
        item = Item(item.delivery, item.message, Done(tuple(outputs)))
        await add_by_hand(suite, RESULTS, LAST_ID)
        assert await handoff.send([item]) == [Answer.EXHAUSTED]
        keys = [suite.keys.payload(one.id) for one in (carried, fresh)]
        assert await suite.client.mget(keys) == [b"sent along", b"new"]
        await suite.client.unlink(suite.keys.stream(RESULTS))
        assert await handoff.send([item]) == [Answer.DONE]
        assert await suite.client.exists(*keys) == 0, "one picture is enough"
        assert (await suite.length(IMAGES), await suite.length(RESULTS)) == (0, 1)


async def test_it_does_so_also_where_the_entry_is_deleted_again(suite: Suite) -> None:
    for stream in (IMAGES, RESULTS, DEAD):
        await add_by_hand(suite, stream, LAST_ID)
        await suite.client.xdel(suite.keys.stream(stream), LAST_ID)
    await suite.add_all([image("a.jpg"), image("dies.jpg")])
    async with running(suite, some_die):
        await wait_until(has(suite, RESULTS, 2), "both have an end")
    assert await suite.length(DEAD) == 1


async def test_many_entries_keep_their_order_and_their_attempts(suite: Suite) -> None:
    attempts: dict[str, int] = {}

    async def fail_once(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        attempts[works[0].message.name] = works[0].attempt
        return [Retry("not now")] if works[0].attempt == 1 else await pass_on(works)

    await suite.add_all([image(f"{n:03}.jpg") for n in range(450)])
    async with running(suite, fail_once, held=1):
        await wait_until(lambda: bool(attempts), "the first has failed")
    await add_by_hand(suite, IMAGES, LAST_ID)
    await Mending(suite.client, suite.keys).ids()
    names = [json.loads(one.get(b"m") or b"{}").get("name") for one in await suite.entries(IMAGES)]
    assert names == [f"{n:03}.jpg" for n in range(450)] + [None]
    assert await suite.client.exists(suite.keys.aside(IMAGES)) == 0
    history = suite.keys.history(IMAGES)
    assert await suite.client.hlen(history) == len(attempts)


async def test_what_is_submitted_gets_in_though_no_service_runs(suite: Suite) -> None:
    await add_by_hand(suite, IMAGES, LAST_ID)
    await suite.add_all([image("a.jpg")])
    assert await suite.length(IMAGES) == 2


async def test_a_dead_letter_is_put_back_into_a_stream_that_took_no_more(suite: Suite) -> None:
    await suite.add_all([image("dies.jpg")])
    async with running(suite, some_die):
        await wait_until(has(suite, DEAD, 1), "it is dead")
    await suite.client.delete(suite.keys.in_flight)
    await add_by_hand(suite, IMAGES, LAST_ID)
    letters = DeadLetters(suite.client, suite.settings)
    [letter] = [one async for one in letters.all()]
    message = letter.message
    assert message is not None
    assert await letters.retry(letter, message) == "retried"


@pytest.mark.parametrize("fields", [10_000, 1])
async def test_entries_of_many_binary_or_no_known_fields_end_as_dead_letters(
    suite: Suite, fields: int
) -> None:
    strange: dict[Any, Any] = {bytes([n % 256, n // 256]): b"\xff\0" * 3 for n in range(fields)}
    for stream in (IMAGES, SOURCES):
        await suite.client.xadd(suite.keys.stream(stream), strange, id="0-1")
        await suite.client.xadd(suite.keys.stream(stream), strange, id=LAST_ID)
    await suite.client.xadd(suite.keys.stream(DEAD), strange, id="0-1")
    await suite.add_all([image("a.jpg")])
    async with running(suite):
        await wait_until(has(suite, RESULTS, 1), "work goes on")
        await wait_until(has(suite, DEAD, 3), "they are dead letters")
    assert len([one async for one in DeadLetters(suite.client, suite.settings).all()]) == 3
