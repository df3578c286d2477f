"""The delivery protocol, checked as a model: any order of steps, on a real server.

Consumers read, reclaim, hand off, fail, put off, give back, renew and crash in any order that
Hypothesis thinks of. Whatever they do: no output without its input gone, no input gone without its
output, never two outputs of one input, and no input both in its stream and in a waiting set.
"""

import asyncio
import json
import tempfile
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar, cast

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.messages import ImageMessage, Status
from shared.reasons import Failure, Reason
from shared.streams.attempts import FailedAttempts
from shared.streams.entries import Delivery, Membership
from shared.streams.handoff import HandOff, Item
from shared.streams.high_water import HighWaterMarks
from shared.streams.intake import Intake
from shared.streams.keys import DEAD, IMAGES
from shared.streams.later import WaitingSets
from shared.streams.leases import Capacity, Leases
from shared.streams.scripts import Answer, Scripts
from shared.streams.stage import Done, Output
from tests.support.entries import entries_in
from tests.support.servers import RedisServer
from tests.support.stages import Suite, failed_result, image, result_of, settings_for

FAILURE = Failure(Reason.ERROR, "it failed")
CONSUMERS = st.integers(0, 2)
T = TypeVar("T")

_server: list[RedisServer] = []


class Consumer:
    """A consumer that takes one step at a time and keeps what it was delivered, also too long."""

    def __init__(self, suite: Suite, name: str) -> None:
        keys = suite.keys
        scripts = Scripts(suite.client, suite.keys)
        marks = HighWaterMarks(suite.settings, 0)
        membership = Membership(keys.stream(IMAGES), "detector", name, keys.history(IMAGES))
        self.intake = Intake(suite.client, scripts, membership, lease_ms=0)
        self.leases = Leases(scripts, membership, 1000, Capacity(1000, 1000, ahead=0.0))
        self.handoff = HandOff(suite.client, scripts, keys, marks, membership)
        self.attempts = FailedAttempts(scripts, marks, membership, suite.settings)
        self.scripts = scripts
        self.membership = membership
        self.waiting = WaitingSets(suite.client, keys, IMAGES, 1000)
        self.kept: list[Delivery] = []


class Delivering(RuleBasedStateMachine):
    """What may happen, and what must hold after every step."""

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.suite = self.run(self.open())
        self.consumers = [Consumer(self.suite, f"consumer-{n}") for n in range(3)]
        self.run(self.consumers[0].intake.join())
        self.submitted: set[str] = set()
        self.started = 3

    def run(self, step: Awaitable[T]) -> T:
        async def taken() -> T:
            return await step

        return self.runner.run(taken())

    async def open(self) -> Suite:
        suite = Suite(settings_for(_server[0].url, max_attempts=2))
        await suite.client.flushall()
        return suite

    @rule()
    def add(self) -> None:
        message = image(f"{len(self.submitted)}.jpg")
        assert self.run(self.suite.producer.add(message))
        self.submitted.add(message.id)

    @rule(who=CONSUMERS, count=st.integers(1, 3))
    def read(self, who: int, count: int) -> None:
        waiting = self.run(self.waiting())
        if waiting:  # a read of an empty stream only blocks
            self.consumers[who].kept += self.run(self.consumers[who].intake.read(count))

    async def waiting(self) -> int:
        groups = await self.suite.client.xinfo_groups(self.suite.keys.stream(IMAGES))
        length = await self.suite.length(IMAGES)
        return length - int(groups[0]["pending"])

    @rule(who=CONSUMERS)
    def reclaim(self, who: int) -> None:
        """Every lease counts as ended here: the harshest clock there is."""
        self.consumers[who].kept += self.run(self.consumers[who].intake.reclaim(2))

    @rule(who=CONSUMERS, resend=st.booleans())
    @precondition(lambda self: any(consumer.kept for consumer in self.consumers))
    def hand_off(self, who: int, resend: bool) -> None:
        consumer = self.consumers[who]
        if not consumer.kept:
            return
        delivery = consumer.kept.pop(0)
        message = ImageMessage.decode(delivery.encoded)
        item = Item(delivery, message, Done((Output(result_of(message)),)))
        [answer] = self.run(consumer.handoff.send([item]))
        assert answer in (Answer.DONE, Answer.LOST)
        if resend:  # its reply was lost
            assert self.run(consumer.handoff.send([item])) == [Answer.LOST]

    @rule(who=CONSUMERS, final=st.booleans())
    def fail(self, who: int, final: bool) -> None:
        consumer = self.consumers[who]
        if not consumer.kept:
            return
        delivery = consumer.kept.pop(0)
        message = ImageMessage.decode(delivery.encoded)
        failed = failed_result(message, FAILURE, 1, "consumer")
        delay = consumer.attempts.delay(delivery, final=final)
        self.run(consumer.attempts.send(delivery, FAILURE, delay, message=message, result=failed))

    @rule(who=CONSUMERS, key=st.sampled_from(["bucket", "host"]), resend=st.booleans())
    def put_off(self, who: int, key: str, resend: bool) -> None:
        """Due at once: when it comes back is for `come_back` to say."""
        consumer = self.consumers[who]
        if not consumer.kept:
            return
        delivery = consumer.kept.pop(0)
        answers = [
            self.run(consumer.scripts.later(consumer.membership, IMAGES, delivery, key, 0, "!"))
            for _ in range(1 + resend)  # its reply was lost
        ]
        assert answers[0] in (Answer.DONE, Answer.LOST)
        assert answers[1:] in ([], [Answer.LOST])

    @rule(who=CONSUMERS, count=st.integers(1, 3))
    def come_back(self, who: int, count: int) -> None:
        self.run(self.consumers[who].scripts.return_due(IMAGES, count))

    @rule(who=CONSUMERS, key=st.sampled_from(["bucket", "host"]))
    def bring_back(self, who: int, key: str) -> None:
        self.run(self.consumers[who].waiting.bring_back(key))

    @rule(who=CONSUMERS, count=st.integers(1, 3), resend=st.booleans())
    def give_back(self, who: int, count: int, resend: bool) -> None:
        consumer = self.consumers[who]
        given, consumer.kept = consumer.kept[:count], consumer.kept[count:]
        before = self.run(self.deliveries())
        lost = self.run(consumer.scripts.give_back(consumer.membership, 0, given))
        after = self.run(self.deliveries())
        uncounted = Counter(before) - Counter(after)
        assert uncounted.total() == len(given) - len(lost), "as if it had never had them"
        if resend and len({one.id for one in given}) == len(given):  # its reply was lost
            ids = [one.id for one in given]
            assert self.run(consumer.scripts.give_back(consumer.membership, 0, given)) == ids
            assert self.run(self.deliveries()) == after

    async def deliveries(self) -> dict[bytes, int]:
        """How often what is pending was delivered."""
        stream = self.suite.keys.stream(IMAGES)
        found = await self.suite.client.xpending_range(stream, "detector", "-", "+", 1000)
        # redis-py types all of its values at once.
        return {cast(bytes, one["message_id"]): int(one["times_delivered"]) for one in found}

    @rule(who=CONSUMERS)
    def renew(self, who: int) -> None:
        consumer = self.consumers[who]
        consumer.leases.take(consumer.kept)
        self.run(consumer.leases.renew())

    @rule(who=CONSUMERS)
    def crash(self, who: int) -> None:
        """It forgets everything; what takes its place has another name."""
        self.started += 1
        self.consumers[who] = Consumer(self.suite, f"consumer-{self.started}")

    @invariant()
    def each_input_is_there_or_has_one_output(self) -> None:
        inputs, outputs = self.run(self.state())
        assert max(outputs.values(), default=1) == 1, "two outputs of one input"
        assert not inputs & outputs.keys(), "an output while its input is there"
        assert inputs | outputs.keys() == self.submitted, "an input is gone without an output"

    @invariant()
    def dead_letters_and_failed_results_go_together(self) -> None:
        letters = self.run(self.suite.entries(DEAD))
        dead = {ImageMessage.decode(fields[b"m"]).id for fields in letters}
        results = self.run(self.suite.results())
        assert dead == {one.id for one in results if one.status is Status.FAILED}

    @invariant()
    def what_waits_is_counted_and_weighed(self) -> None:
        waiting = self.run(self.put_off_entries())
        of_key = self.run(self.suite.client.hgetall(self.suite.keys.waiting_of_key(IMAGES)))
        assert sum(map(int, of_key.values())) == len(waiting)
        weighed = self.run(self.suite.client.hget(self.suite.keys.bytes, self.due)) or 0
        assert int(weighed) == sum(int(one["n"]) for one in waiting)
        assert self.run(self.suite.client.zcard(self.due)) == len(waiting)
        reasons = self.run(self.suite.client.hkeys(self.suite.keys.waiting_reasons(IMAGES)))
        assert set(reasons) == set(of_key), "why, as long as any of them waits"

    @invariant()
    def dead_letters_are_weighed(self) -> None:
        letters = self.run(self.suite.entries(DEAD))
        assert self.run(self.suite.bytes_held(DEAD)) == sum(int(one[b"n"]) for one in letters)

    @invariant()
    def failed_attempts_survive_a_wait(self) -> None:
        found = self.run(self.suite.client.xrange(self.suite.keys.stream(IMAGES)))
        history = self.run(self.suite.client.hgetall(self.suite.keys.history(IMAGES)))
        for entry_id, fields in entries_in(found):
            attempts = len(json.loads(history.get(entry_id, b"[]")))
            assert int(fields.get(b"a", 0)) <= attempts

    @invariant()
    def what_is_under_way_is_known(self) -> None:
        flights = self.run(self.suite.client.scard(self.suite.keys.in_flight))
        assert flights == len(self.submitted)

    async def state(self) -> tuple[set[str], Counter[str]]:
        entries = await self.suite.entries(IMAGES)
        there = [ImageMessage.decode(fields[b"m"]).id for fields in entries]
        there += [ImageMessage.decode(one["m"].encode()).id for one in await self.put_off_entries()]
        inputs = set(there)
        assert len(there) == len(inputs), "an input is there twice"
        outputs = Counter(one.id for one in await self.suite.results())
        return inputs, outputs

    @property
    def due(self) -> str:
        return self.suite.keys.due(IMAGES)

    async def put_off_entries(self) -> list[dict[str, str]]:
        found = await self.suite.client.hvals(self.suite.keys.waiting(IMAGES))
        return [json.loads(one) for one in found]

    def teardown(self) -> None:
        self.run(self.suite.client.aclose())
        self.runner.close()


def test_no_order_of_steps_loses_or_doubles_an_image() -> None:
    with tempfile.TemporaryDirectory() as folder:
        server = RedisServer(Path(folder) / "valkey")
        server.start()
        _server[:] = [server]
        try:
            Delivering.TestCase.settings = settings(
                max_examples=60,
                stateful_step_count=40,
                deadline=None,
                suppress_health_check=list(HealthCheck),
            )
            Delivering.TestCase("runTest").runTest()
        finally:
            server.kill()
