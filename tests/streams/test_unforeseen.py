"""A stage that cannot go on ends, with what was unforeseen, and others take its work."""

import asyncio
import contextlib

import pytest
import uvloop
from pydantic import SecretStr
from redis.asyncio import Connection
from redis.exceptions import ConnectionError as RedisConnectionError

from shared.messages import ImageMessage
from shared.streams.cancellation import unless
from shared.streams.client import connect
from shared.streams.connections import Suited
from shared.streams.entries import Delivery
from shared.streams.intake import Intake
from shared.streams.keys import RESULTS
from tests.faults.test_delivery import has
from tests.support.stages import image, running, suite_on
from tests.support.waiting import wait_until


class Bug(Exception):
    """Something that no module has foreseen."""


def decode_with_a_bug(_: bytes) -> ImageMessage:
    raise Bug


async def test_it_ends_with_its_error_and_others_take_its_work_at_once(redis_url: str) -> None:
    async with suite_on(redis_url, lease_seconds=3600) as suite:
        await suite.add_all([image()])
        async with running(suite, decode=decode_with_a_bug, concurrency=3) as run:
            await wait_until(run.task.done, "it has ended")
            with pytest.raises(ExceptionGroup) as caught:
                await run.task
            assert caught.group_contains(Bug)
        async with running(suite):
            await wait_until(lambda: has(suite, RESULTS, 1), "another has done it")


async def test_it_ends_also_where_a_library_swallows_a_cancellation(
    redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun = asyncio.Event()

    async def swallow(_: Intake, __: int) -> list[Delivery]:
        begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)
        return []

    monkeypatch.setattr(Intake, "reclaim", swallow)
    async with suite_on(redis_url) as suite, running(suite, decode=decode_with_a_bug) as run:
        await begun.wait()
        await suite.add_all([image()])
        await wait_until(run.task.done, "it has ended")
        with pytest.raises(ExceptionGroup):
            await run.task


class _Swallows(Connection):
    """Sends as `asyncio.wait_for` of Python 3.11 does, at its worst."""

    closed = False

    async def send_packed_command(self, *_: object, **__: object) -> None:
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(3600)

    async def disconnect(self, *_: object, **__: object) -> None:
        self.closed = True


class _Sends(Suited, _Swallows):
    """As the suite's own connections."""


async def test_a_cancellation_while_sending_is_never_lost() -> None:
    connection = _Sends()
    sending = asyncio.create_task(connection.send_packed_command(b""))
    await asyncio.sleep(0)
    sending.cancel()
    with pytest.raises(asyncio.CancelledError):
        await sending
    assert connection.closed, "a reply would come that nobody has asked for"


async def test_a_stop_ends_a_call() -> None:
    stop = asyncio.Event()
    ended: list[str] = []

    async def call() -> str:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise
        return "answered"

    waiting = asyncio.create_task(unless(stop, call))
    await asyncio.sleep(0)
    stop.set()
    assert await waiting is None
    assert ended == ["cancelled"]


def test_a_connection_that_is_reset_as_it_is_written_to_is_an_outage(redis_url: str) -> None:
    async def write_after_a_reset() -> None:
        client = connect(SecretStr(redis_url))
        # redis-py gives this method no types.
        connection = await client.connection_pool.get_connection()  # type: ignore[no-untyped-call]
        writer = connection._writer  # there is no other way to its transport
        assert writer is not None
        writer.transport.abort()
        await asyncio.sleep(0)
        with pytest.raises(RedisConnectionError):
            await connection.send_command("PING")
        await client.aclose()

    uvloop.run(write_after_a_reset())
