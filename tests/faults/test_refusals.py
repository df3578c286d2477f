"""What Redis refuses to everybody is nobody's fault: it is told, waited for, and nothing ends."""

import asyncio
import shutil
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from shared.errors import Unreachable
from shared.health import Health
from shared.messages import ImageMessage
from shared.streams.keys import DEAD, IMAGES, RESULTS
from shared.streams.mending_scripts import MendingScripts
from shared.streams.refusals import Garbled, describe
from shared.streams.stage import Done, Outcome, Output, Work
from tests.faults.test_delivery import Gate, has
from tests.support.proxy import Proxy
from tests.support.servers import RedisServer
from tests.support.stages import image, pass_on, running, suite_on
from tests.support.waiting import wait_until

Step = Callable[[Redis, Path], Awaitable[object]]


@dataclass(frozen=True)
class Refusal:
    """How a server is brought to refuse, how that is mended, and what readiness says of it."""

    spoil: Step
    mend: Step
    told: str


async def spoil_disk(hand: Redis, folder: Path) -> None:
    """A dump that cannot be written, as on a full volume: its folder is gone."""
    shutil.rmtree(folder)
    await hand.config_set("save", "3600 1")
    await hand.bgsave()

    async def failed() -> bool:
        return bool((await hand.info("persistence"))["rdb_last_bgsave_status"] == "err")

    await wait_until(failed, "the dump has failed")


async def begin_endless_script(hand: Redis, _: Path) -> None:
    await hand.config_set("lua-time-limit", 50)
    port = hand.connection_pool.connection_kwargs["port"]
    async with Redis(port=port, socket_timeout=0.5) as other:
        with suppress(RedisError):  # it never answers
            await other.eval("while true do end", 0)


async def end_script(hand: Redis, _: Path) -> None:
    await hand.script_kill()

    async def over() -> bool:
        with suppress(ResponseError):  # the script has not looked up yet
            return bool(await hand.ping())
        return False

    await wait_until(over, "the script has ended")


async def ask_for_password(hand: Redis, _: Path) -> None:
    await hand.config_set("requirepass", "hush")
    await hand.client_kill_filter(_type="normal", skipme=True)


async def allow_no_more_clients(hand: Redis, _: Path) -> None:
    await hand.config_set("maxclients", 1)
    await hand.client_kill_filter(_type="normal", skipme=True)


def setting(name: str, value: object) -> Step:
    return lambda hand, _: hand.config_set(name, str(value))


def rule(text: str) -> Step:
    return lambda hand, _: hand.acl_setuser("default", commands=[text])


REFUSALS = {
    "MISCONF": Refusal(spoil_disk, setting("save", ""), "cannot save to its disk"),
    "NOREPLICAS": Refusal(
        setting("min-replicas-to-write", 1),
        setting("min-replicas-to-write", 0),
        "fewer replicas than min-replicas-to-write",
    ),
    "BUSY": Refusal(begin_endless_script, end_script, "busy with a script"),
    "NOPERM": Refusal(rule("-xclaim"), rule("+xclaim"), "does not let the user of FACES_REDIS_URL"),
    "NOAUTH": Refusal(ask_for_password, setting("requirepass", ""), "refuses the user or password"),
    "READONLY": Refusal(
        lambda hand, _: hand.replicaof("127.0.0.1", "1"),
        lambda hand, _: hand.replicaof("NO", "ONE"),
        "read-only replica",
    ),
    "maxclients": Refusal(
        allow_no_more_clients, setting("maxclients", 1000), "takes no more connections"
    ),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_a_refusal_is_told_and_waited_for(name: str, own_server: RedisServer) -> None:
    refusal = REFUSALS[name]
    health, gate = Health(), Gate()
    health.ready("start")
    async with (
        suite_on(own_server.url) as suite,
        Redis(port=own_server.port, single_connection_client=True) as hand,
    ):
        await suite.add_all([image()])
        async with running(suite, gate, health=health) as run:
            await wait_until(lambda: bool(gate.names), "it is being handled")
            await refusal.spoil(hand, own_server.folder)
            # The lease of what is held cannot be renewed: once this ended the process.
            # (Of too many clients it may see only that it is cut off, now and then.)
            await wait_until(
                lambda: refusal.told in health.problems.get("detector leases", ""),
                "readiness says so",
            )
            gate.open.set()
            await refusal.mend(hand, own_server.folder)
            await wait_until(lambda: has(suite, RESULTS, 1), "it goes on by itself")
            await wait_until(lambda: not health.problems, "it is ready again")
            assert not run.task.done()
        assert await suite.length(IMAGES) == 0
        assert await suite.length(DEAD) == 0


async def test_a_hand_off_and_a_submission_that_are_refused_half_way_leave_nothing_in_flight(
    own_server: RedisServer,
) -> None:
    """What was marked as under way and then not added would count as under way for good."""
    health = Health()
    health.ready("start")
    found, sent = image("found.jpg"), image("sent.jpg")

    async def find_another(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        if works[0].message.name == "folder":
            return [Done((Output(found),))]
        return await pass_on(works)

    async with suite_on(own_server.url) as suite:
        await suite.add_all([image("folder")])
        await suite.client.acl_setuser("default", enabled=True, commands=["-xadd"])
        async with running(suite, find_another, health=health):
            await wait_until(lambda: "rights" in str(health.problems), "it was refused")
            with pytest.raises(Unreachable):
                await suite.producer.add(sent)
            await suite.client.acl_setuser("default", enabled=True, commands=["+xadd"])
            assert await suite.producer.add(sent)
            await wait_until(lambda: has(suite, RESULTS, 2), "both have an end")
        assert {one.name for one in await suite.results()} == {"found.jpg", "sent.jpg"}
        assert await suite.bytes_held(IMAGES) == await suite.length(IMAGES) == 0


@pytest.mark.parametrize("transaction", [False, True])
async def test_of_several_commands_the_refusal_is_told_and_not_what_was_sent(
    transaction: bool, own_server: RedisServer
) -> None:
    async with (
        suite_on(own_server.url) as suite,
        Redis(port=own_server.port, single_connection_client=True) as hand,
        suite.client.pipeline(transaction=transaction) as pipeline,
    ):
        await REFUSALS["MISCONF"].spoil(hand, own_server.folder)
        pipeline.set("key", "a picture of anna")
        with pytest.raises(RedisError) as refused:
            await pipeline.execute()
    assert describe(refused.value).startswith("Redis cannot save to its disk")
    assert "anna" not in str(refused.value)


@pytest.mark.parametrize(
    ("instead", "told"),
    [
        (b"-CLUSTERDOWN The cluster is down\r\n", "in a cluster that is down"),
        (b"-MASTERDOWN Link with MASTER is down\r\n", "lost its primary"),
        (b"-LOADING Redis is loading the dataset in memory\r\n", "still loading"),
        (b"-UNKILLABLE Sorry the script already executed write commands\r\n", "UNKILLABLE"),
        (b"-MOVED 1 10.0.0.1:6379\r\n", "node of a Redis Cluster"),
        (b"-TRYAGAIN Multiple keys request during rehashing of slot\r\n", "moving keys"),
        (b"-ERR something new\r\n", "something new"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", "does not speak as Redis does"),
        (b"$2\r\nno\r\n", "does not speak as Redis does"),
        (b"*1\r\n*1\r\n:7\r\n", "does not speak as Redis does"),
        (b"*0\r\n", "does not speak as Redis does"),
    ],
)
async def test_whatever_comes_instead_of_replies_is_told_and_waited_for(
    instead: bytes, told: str, own_server: RedisServer
) -> None:
    health, gate = Health(), Gate()
    health.ready("start")
    async with (
        Proxy(own_server.port) as proxy,
        suite_on(own_server.url) as suite,
        suite_on(proxy.url) as behind,
    ):
        await suite.add_all([image()])
        async with running(behind, gate, health=health) as run:
            await wait_until(lambda: bool(gate.names), "it is being handled")
            gate.open.set()
            proxy.instead = instead
            await wait_until(lambda: told in str(health.problems), "readiness says so")
            proxy.instead = b""
            proxy.cut_all()
            await wait_until(lambda: has(suite, RESULTS, 1), "it goes on by itself")
            await wait_until(lambda: not health.problems, "it is ready again")
            assert not run.task.done()
        assert await suite.length(DEAD) == 0


async def test_nothing_that_comes_in_place_of_an_answer_is_kept_or_taken_for_one(
    own_server: RedisServer,
) -> None:
    async with Proxy(own_server.port) as proxy, suite_on(proxy.url) as behind:
        scripts = MendingScripts(behind.client, behind.keys)
        calls = (
            (b"*0\r\n", lambda: behind.client.script_load("return 1")),
            (b"*0\r\n", lambda: scripts.watch(IMAGES, "detector")),
            (b"*0\r\n", lambda: scripts.set_back(IMAGES, "detector", 1, 1, tries=False)),
            (b"*1\r\n:99\r\n", lambda: scripts.mend({behind.keys.bytes: "hash"})),
        )
        for instead, call in calls:
            proxy.instead = instead
            with pytest.raises(Garbled):
                await call()
        proxy.instead = b""
        await behind.client.connection_pool.disconnect()
        assert (await scripts.watch(IMAGES, "detector")).length == 0


async def test_what_cannot_be_added_now_is_added_when_redis_takes_it(
    own_server: RedisServer,
) -> None:
    async with suite_on(own_server.url) as suite:
        await suite.client.config_set("min-replicas-to-write", 1)
        adding = asyncio.create_task(suite.producer.add(image()))

        async def refused() -> bool:
            stats = await suite.client.info("errorstats")
            return "errorstat_NOREPLICAS" in stats

        await wait_until(refused, "it was refused")
        assert not adding.done()
        await suite.client.config_set("min-replicas-to-write", 0)
        assert await adding
        assert await suite.length(IMAGES) == 1


async def test_connections_that_died_in_silence_are_given_up(own_server: RedisServer) -> None:
    """As behind a router that has forgotten them: nothing is refused, nothing arrives."""
    health = Health()
    health.ready("start")
    async with Proxy(own_server.port) as proxy, suite_on(own_server.url) as suite:
        through = suite_on(proxy.url)
        async with through as behind, running(behind, health=health):
            await suite.add_all([image()])
            await wait_until(lambda: has(suite, RESULTS, 1), "it works")
            proxy.silence_open()
            await wait_until(lambda: "in time" in str(health.problems), "readiness says so")
            await suite.add_all([image()])
            await wait_until(lambda: has(suite, RESULTS, 2), "it goes on over new connections")


@pytest.mark.parametrize("begun", [True, False])
async def test_a_stop_while_redis_is_silent_ends_in_time(
    begun: bool, own_server: RedisServer
) -> None:
    async with Proxy(own_server.port) as proxy, suite_on(own_server.url) as suite:
        await suite.add_all([image()])
        gate = Gate()
        url = f"{proxy.url}?socket_timeout=3600"  # whatever is waited for, no answer will come
        proxy.silent = not begun
        async with suite_on(url, drain_seconds=1) as behind, running(behind, gate) as run:
            if begun:
                await wait_until(lambda: bool(gate.names), "it is being handled")
                gate.open.set()
            proxy.silent = True
            run.stop.set()
            await wait_until(run.task.done, "it has ended")
            await run.task
