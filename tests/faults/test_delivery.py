"""The faults that delivery must survive, each on a real server: one test a fault."""

import asyncio
from collections.abc import Sequence
from typing import Any

from shared.errors import Unreachable
from shared.health import Health
from shared.messages import ImageMessage, Status
from shared.streams.entries import Delivery, Membership
from shared.streams.handoff import HandOff, Item
from shared.streams.high_water import HighWaterMarks
from shared.streams.intake import Intake
from shared.streams.keys import DEAD, IMAGES, RESULTS
from shared.streams.scripts import Answer, Scripts
from shared.streams.stage import Dead, Done, Outcome, Output, Work
from tests.support.entries import only_entry_in
from tests.support.proxy import Proxy
from tests.support.servers import RedisServer
from tests.support.stages import Suite, image, pass_on, result_of, running, suite_on
from tests.support.waiting import wait_until


class ByHand:
    """A consumer whose every step the test takes itself."""

    def __init__(self, suite: Suite, name: str) -> None:
        keys = suite.keys
        self.suite = suite
        self.scripts = Scripts(suite.client, suite.keys)
        self.membership = Membership(keys.stream(IMAGES), "detector", name, keys.history(IMAGES))
        self.intake = Intake(suite.client, self.scripts, self.membership, lease_ms=0)

    async def finish(self, delivery: Delivery) -> Answer:
        message = ImageMessage.decode(delivery.encoded)
        marks = HighWaterMarks(self.suite.settings, 0)
        handoff = HandOff(self.suite.client, self.scripts, self.suite.keys, marks, self.membership)
        done = Done((Output(result_of(message)),))
        return (await handoff.send([Item(delivery, message, done)]))[0]


async def has(suite: Suite, name: str, count: int) -> bool:
    return await suite.length(name) == count


class Gate:
    """A handler that waits at a gate, as slow work does."""

    def __init__(self) -> None:
        self.open = asyncio.Event()
        self.names: list[str] = []

    async def __call__(self, works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        self.names += [work.message.name for work in works]
        await self.open.wait()
        return await pass_on(works)


async def test_two_consumers_finish_one_reclaimed_entry(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        await suite.add_all([image()])
        first, second = ByHand(suite, "first"), ByHand(suite, "second")
        await first.intake.join()
        [slow] = await first.intake.read(1)
        [reclaimed] = await second.intake.reclaim(1)
        assert reclaimed.deliveries == 2
        answers = [await first.finish(slow), await second.finish(reclaimed)]
        assert answers == [Answer.LOST, Answer.DONE]
        assert await suite.length(RESULTS) == 1


async def test_an_old_delivery_of_the_same_consumer_name_is_refused(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        await suite.add_all([image()])
        consumer = ByHand(suite, "same-name")
        await consumer.intake.join()
        [old] = await consumer.intake.read(1)
        [new] = await consumer.intake.reclaim(1)
        assert await consumer.finish(old) is Answer.LOST
        assert await consumer.finish(new) is Answer.DONE
        assert await consumer.finish(new) is Answer.LOST
        assert await suite.length(RESULTS) == 1


async def test_a_handler_can_ask_whether_an_entry_is_still_its_own(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        await suite.add_all([image()])
        answers: list[bool] = []

        async def ask(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
            answers.append(await works[0].is_held())
            await suite.client.xgroup_destroy(suite.keys.stream(IMAGES), "detector")
            await suite.client.xgroup_create(suite.keys.stream(IMAGES), "detector", id="$")
            answers.append(await works[0].is_held())
            return await pass_on(works)

        async with running(suite, ask):
            await wait_until(lambda: len(answers) == 2, "it has asked")
        assert answers == [True, False]
        assert await suite.length(RESULTS) == 0, "the fence refuses it"


async def test_reply_lost_after_the_server_did_it(own_server: RedisServer) -> None:
    async with Proxy(own_server.port) as proxy, suite_on(proxy.url) as suite:
        proxy.lose_next_reply_to(b"EVALSHA")
        await suite.producer.add(image("lost-reply.jpg"))
        assert proxy.replies_lost == 1
        assert await suite.length(IMAGES) == 1, "resending the addition added nothing"
        async with running(suite):
            proxy.lose_next_reply_to(b"EVALSHA")
            await wait_until(lambda: proxy.replies_lost == 2, "a reply of the stage is lost")
            await wait_until(lambda: has(suite, IMAGES, 0), "the image is finished")
        assert await suite.length(RESULTS) == 1


async def test_reply_of_a_read_is_lost(own_server: RedisServer) -> None:
    async with Proxy(own_server.port) as proxy, suite_on(proxy.url) as suite:
        await suite.add_all([image() for _ in range(5)])
        proxy.lose_next_reply_to(b"XREADGROUP")
        async with running(suite, batch=10):
            await wait_until(lambda: has(suite, RESULTS, 5), "leases end and all are done")
        assert proxy.replies_lost == 1
        assert len({one.id for one in await suite.results()}) == 5


async def test_redis_is_full(own_server: RedisServer) -> None:
    async def name_more(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        """As ingest: what it hands on is new work."""
        if works[0].message.name == "more.jpg":
            return await pass_on(works)
        return [Done((Output(image("more.jpg")),))]

    async with suite_on(own_server.url, high_water_bytes=1_000_000) as suite:
        await suite.add_all([image() for _ in range(10)])
        health = Health()
        health.ready("start")
        await suite.client.config_set("maxmemory", 1)
        async with running(suite, name_more, health, concurrency=2):
            await wait_until(lambda: "full" in str(health.problems), "readiness says it is full")
            assert await suite.length(IMAGES) == 10, "nothing is lost"
            await suite.client.config_set("maxmemory", 0)
            await wait_until(lambda: has(suite, RESULTS, 10), "it goes on")
        assert await suite.length(IMAGES) == 0


async def test_finishing_without_outputs_works_while_redis_is_full(own_server: RedisServer) -> None:
    async def swallow(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        return [Done()] * len(works)

    async with suite_on(own_server.url) as suite:
        await suite.add_all([image() for _ in range(10)])
        await suite.add_with_body(b"x" * 1000)
        async with running(suite, swallow, batch=100):
            await wait_until(lambda: has(suite, IMAGES, 0), "joined")
            await suite.add_all([image() for _ in range(10)])
            await suite.client.config_set("maxmemory", 1)
            await wait_until(lambda: has(suite, IMAGES, 0), "the writer's way out is open")
        await suite.client.config_set("maxmemory", 0)
        assert await suite.bytes_held(IMAGES) == 0
        assert await suite.left_behind() == []


async def test_wrong_type_at_the_output_key(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        results = suite.keys.stream(RESULTS)
        await suite.client.set(results, "somebody else's")
        await suite.add_all([image()])
        gate = Gate()
        gate.open.set()
        health = Health()
        health.ready("start")
        async with running(suite, gate, health):
            await wait_until(
                lambda: "detector output" in health.problems, "readiness says what is wrong"
            )
            told = health.problems["detector output"]
            assert told == (
                f"Redis keys that should be streams hold something else: {results}; "
                "rename or delete them"
            )
            assert await suite.length(IMAGES) == 1
            await suite.client.delete(results)
            await wait_until(lambda: has(suite, RESULTS, 1), "it goes on when mended")
            await wait_until(lambda: not health.problems, "and is ready again")


async def test_wrong_type_at_the_key_of_dead_letters(redis_url: str) -> None:
    async def refuse(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        return [Dead("never")] * len(works)

    async with suite_on(redis_url) as suite:
        dead = suite.keys.stream(DEAD)
        await suite.client.set(dead, "somebody else's")
        await suite.add_all([image()])
        health = Health()
        health.ready("start")
        async with running(suite, refuse, health):
            await wait_until(lambda: dead in health.problems.get("detector output", ""), "told")
            await suite.client.delete(dead)
            await wait_until(lambda: has(suite, DEAD, 1), "it goes on when mended")


async def test_task_longer_than_the_lease_is_done_once(redis_url: str) -> None:
    async with suite_on(redis_url, lease_seconds=1) as suite:
        await suite.add_all([image()])
        gate = Gate()
        async with running(suite, gate), running(suite, gate):
            await wait_until(lambda: len(gate.names) == 1, "one consumer has it")
            started = (await suite.client.time())[0]

            async def four_leases_later() -> bool:
                return int((await suite.client.time())[0]) > started + 4

            await wait_until(four_leases_later, "several leases have passed")
            gate.open.set()
            await wait_until(lambda: has(suite, RESULTS, 1), "one result")
        assert len(gate.names) == 1


async def test_entries_of_a_dead_consumer_are_finished_by_others(redis_url: str) -> None:
    async with suite_on(redis_url, lease_seconds=1) as suite:
        await suite.add_all([image() for _ in range(20)])
        dead = ByHand(suite, "killed")
        await dead.intake.join()
        assert len(await dead.intake.read(20)) == 20
        async with running(suite, batch=20):
            await wait_until(lambda: has(suite, RESULTS, 20), "all are reclaimed")
        assert await suite.length(IMAGES) == 0


async def test_live_leases_in_front_do_not_hide_a_dead_entry(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        await suite.add_all([image() for _ in range(201)])
        alive, dead = ByHand(suite, "alive"), ByHand(suite, "dead")
        await alive.intake.join()
        await alive.intake.read(200)
        [hidden] = await dead.intake.read(1)
        rescuer = ByHand(suite, "rescuer")
        rescuer.intake.lease_ms = 3_600_000
        await suite.client.xclaim(
            rescuer.membership.stream,
            "detector",
            "dead",
            0,
            [hidden.id],
            idle=7_200_000,
            justid=True,
        )
        found: list[Delivery] = []
        for _ in range(30):
            found += await rescuer.intake.reclaim(1)
            if found:
                break
        assert [one.id for one in found] == [hidden.id]


async def test_a_deleted_entry_does_not_stay_pending(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        await suite.add_all([image()])
        consumer = ByHand(suite, "first")
        await consumer.intake.join()
        [one] = await consumer.intake.read(1)
        await suite.client.xdel(consumer.membership.stream, one.id)
        assert await ByHand(suite, "second").intake.reclaim(5) == []
        assert await suite.pending(IMAGES, "detector") == 0


async def test_flushall_while_running(redis_url: str) -> None:
    async with suite_on(redis_url) as suite, running(suite):
        await suite.add_all([image()])
        await wait_until(lambda: has(suite, RESULTS, 1), "it works")
        await suite.client.flushall()
        await suite.add_all([image() for _ in range(3)])
        await wait_until(lambda: has(suite, RESULTS, 3), "the group is made again")


async def test_redis_restarts(own_server: RedisServer) -> None:
    async with suite_on(own_server.url) as suite:
        await suite.add_all([image() for _ in range(20)])
        health = Health()
        health.ready("start")
        gate = Gate()
        async with running(suite, gate, health, concurrency=4):
            await wait_until(lambda: len(gate.names) == 4, "work has begun")
            own_server.kill()
            gate.open.set()
            await wait_until(lambda: "detector" in health.problems, "readiness is off")
            own_server.start()
            await wait_until(lambda: has(suite, RESULTS, 20), "all are done after the restart")
            await wait_until(lambda: not health.problems, "readiness is on again")
        assert len({one.id for one in await suite.results()}) == 20


async def test_drain_finishes_what_was_started_and_gives_back_the_rest(redis_url: str) -> None:
    async with suite_on(redis_url, lease_seconds=60) as suite:
        await suite.add_all([image(f"{n}.jpg") for n in range(10)])
        gate = Gate()
        async with running(suite, gate, batch=5) as leaving:
            await wait_until(lambda: len(gate.names) == 5, "five have been started")
            await wait_until(lambda: pending_is(suite, 10), "five more are held")
            leaving.stop.set()
            gate.open.set()
            await leaving.task
            assert await suite.length(RESULTS) == 5
            consumers = await suite.client.xinfo_consumers(suite.keys.stream(IMAGES), "detector")
            assert [one["pending"] for one in consumers] == [5]
        async with running(suite, batch=10):
            await wait_until(lambda: has(suite, RESULTS, 10), "others take the rest at once")
        assert await suite.pending(IMAGES, "detector") == 0


async def pending_is(suite: Suite, count: int) -> bool:
    return await suite.pending(IMAGES, "detector") == count


async def test_drain_gives_up_at_its_limit_and_nothing_is_lost(redis_url: str) -> None:
    async with suite_on(redis_url, drain_seconds=0, lease_seconds=60) as suite:
        await suite.add_all([image()])
        stuck = Gate()
        async with running(suite, stuck) as leaving:
            await wait_until(lambda: len(stuck.names) == 1, "it has been started")
            await leaving.drain()
        assert await suite.length(RESULTS) == 0
        async with running(suite):
            await wait_until(lambda: has(suite, RESULTS, 1), "another finishes it at once")


async def test_drains_during_an_outage_make_no_dead_letter(redis_url: str) -> None:
    """Also of what was being worked on: that those who had it live is known."""
    given = 0

    async def database_is_away(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        nonlocal given
        given += 1
        raise Unreachable("the database cannot be reached")

    async with suite_on(redis_url, max_attempts=1, max_deliveries=2, drain_seconds=0) as suite:
        await suite.add_all([image()])
        for _ in range(4):
            before = given

            async def was_tried(before: int = before) -> bool:
                return given > before or await has(suite, DEAD, 1)

            async with running(suite, database_is_away):
                await wait_until(was_tried, "it is tried again")
        async with running(suite):
            await wait_until(lambda: has(suite, RESULTS, 1), "it is done when the outage is over")
        assert await suite.length(DEAD) == 0


async def test_a_consumer_that_left_with_nothing_pending_is_gone(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        await suite.add_all([image()])
        async with running(suite):
            await wait_until(lambda: has(suite, RESULTS, 1), "done")
        assert await suite.client.xinfo_consumers(suite.keys.stream(IMAGES), "detector") == []


async def test_long_gone_consumers_are_removed_only_when_they_hold_nothing(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        await suite.add_all([image()])
        holder, empty = ByHand(suite, "holder"), ByHand(suite, "empty")
        await holder.intake.join()
        await holder.intake.read(1)
        await empty.intake.read(1)
        stream = suite.keys.stream(IMAGES)
        await holder.scripts.tidy(holder.membership, 0)
        left: list[dict[str, Any]] = await suite.client.xinfo_consumers(stream, "detector")
        assert [one["name"] for one in left] == [b"holder"]


async def test_an_entry_that_nobody_survives_ends(redis_url: str) -> None:
    async with suite_on(redis_url, max_deliveries=3) as suite:
        await suite.add_all([image()])
        victim = ByHand(suite, "victim")
        await victim.intake.join()
        await victim.intake.read(1)
        for _ in range(2):
            await victim.intake.reclaim(1)
        stream = suite.keys.stream(IMAGES)
        entry_id, _ = only_entry_in(await suite.client.xrange(stream))
        await suite.client.xclaim(
            stream, "detector", "victim", 0, [entry_id], idle=60_000, justid=True
        )
        async with running(suite):
            await wait_until(lambda: has(suite, DEAD, 1), "a dead letter")
        assert b"delivered 4 times" in (await suite.entries(DEAD))[0][b"reason"]
        assert (await suite.results())[0].status is Status.FAILED
