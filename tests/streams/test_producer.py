"""What the producer adds and what it refuses. On a fake server: nothing here is ever pending."""

import asyncio
from typing import Any

import pytest
from redis.exceptions import NoPermissionError

from shared.errors import FacesError, Unreachable
from shared.messages import Payload
from shared.streams.keys import IMAGES, Keys
from shared.streams.producer import GIVE_UP_SECONDS, Producer
from tests.support.clock import LoopClock, clock
from tests.support.fake_redis import FakeRedis, fake_redis
from tests.support.stages import image, settings_for
from tests.support.waiting import wait_until

__all__ = ["clock", "fake_redis"]

KEYS = Keys("faces")
STREAM = KEYS.stream(IMAGES)
CONTENT = b"a picture"


def producer_of(client: FakeRedis, **settings: Any) -> Producer:  # Any: setting values
    return Producer(client, settings_for("redis://127.0.0.1:1/0", **settings))


async def test_a_message_is_added_and_its_payload_stays(fake_redis: FakeRedis) -> None:
    payload = Payload.of(CONTENT)
    assert await producer_of(fake_redis).add(image(payload=payload), {payload: CONTENT})
    assert await fake_redis.xlen(STREAM) == 1
    assert await fake_redis.get(KEYS.payload(payload.id)) == CONTENT
    assert await fake_redis.ttl(KEYS.payload(payload.id)) == -1, (
        "an entry owns it: it never expires"
    )


async def test_an_image_under_way_is_refused_and_its_bytes_are_dropped(
    fake_redis: FakeRedis,
) -> None:
    producer = producer_of(fake_redis)
    first, again = Payload.of(CONTENT), Payload.of(CONTENT)
    message = image(payload=first)
    assert await producer.add(message, {first: CONTENT})
    assert not await producer.add(message.model_copy(update={"payload": again}), {again: CONTENT})
    assert await fake_redis.xlen(STREAM) == 1
    assert not await fake_redis.exists(KEYS.payload(again.id))
    assert await fake_redis.exists(KEYS.payload(first.id))


async def test_a_key_that_is_no_stream_is_told_by_name_with_what_to_do(
    fake_redis: FakeRedis,
) -> None:
    await fake_redis.set(STREAM, "something else")
    with pytest.raises(FacesError, match=r"\{faces\}:images is not a stream; set FACES_PREFIX"):
        await producer_of(fake_redis).add(image())
    assert await fake_redis.get(STREAM) == b"something else"


async def test_no_bytes_are_sent_while_the_stream_is_full(fake_redis: FakeRedis) -> None:
    producer = producer_of(fake_redis, high_water_bytes=1000)
    large, small = Payload.of(b"x" * 2000), Payload.of(CONTENT)
    await producer.add(image(payload=large), {large: b"x" * 2000})
    waiting = asyncio.create_task(producer.add(image(payload=small), {small: CONTENT}))
    await wait_until(lambda: fake_redis.sent["HGET"] > 2, "it asks again and again")
    assert not waiting.done()
    assert not await fake_redis.exists(KEYS.payload(small.id))
    await fake_redis.xtrim(STREAM, maxlen=0)
    assert await waiting


async def test_after_a_lost_reply_it_asks_again_and_adds_nothing_twice(
    fake_redis: FakeRedis,
) -> None:
    payload = Payload.of(CONTENT)
    fake_redis.replies_to_lose["EVALSHA"] = 2
    await producer_of(fake_redis).add(image(payload=payload), {payload: CONTENT})
    assert fake_redis.replies_to_lose["EVALSHA"] == 0
    assert await fake_redis.xlen(STREAM) == 1
    assert await fake_redis.ttl(KEYS.payload(payload.id)) == -1


async def test_a_server_that_stays_away_is_waited_for_and_then_given_up(
    fake_redis: FakeRedis, clock: LoopClock
) -> None:
    fake_redis.server.connected = False
    adding = asyncio.create_task(producer_of(fake_redis).add(image()))
    await wait_until(lambda: fake_redis.sent["EVALSHA"] > 2, "it tries again and again")
    assert not adding.done()
    clock.pass_by(GIVE_UP_SECONDS)
    with pytest.raises(Unreachable, match="Redis cannot be reached; check FACES_REDIS_URL"):
        await adding


async def test_a_server_that_comes_back_in_time_gets_the_message(
    fake_redis: FakeRedis, clock: LoopClock
) -> None:
    fake_redis.server.connected = False
    adding = asyncio.create_task(producer_of(fake_redis).add(image()))
    await wait_until(lambda: fake_redis.sent["EVALSHA"] > 2, "it tries again and again")
    clock.pass_by(GIVE_UP_SECONDS / 2)
    fake_redis.server.connected = True
    assert await adding
    assert await fake_redis.xlen(STREAM) == 1


async def test_a_refusal_that_waiting_does_not_mend_is_told_at_once(
    fake_redis: FakeRedis, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object, **__: object) -> None:
        raise NoPermissionError("this user has no permissions to run 'evalsha'")

    monkeypatch.setattr(fake_redis, "evalsha", refuse)
    with pytest.raises(Unreachable, match="give it the rights"):
        await producer_of(fake_redis).add(image())
