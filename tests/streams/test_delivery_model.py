"""The delivery protocol, checked as a model: any order of steps, on a real server.

Consumers read, reclaim, hand off, fail, renew and crash in any order that Hypothesis thinks of.
Whatever they do: no output without its input gone, no input gone without its output, and never
two outputs of one input.
"""

import asyncio
import tempfile
from collections import Counter
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from shared.messages import ImageMessage, Status
from shared.reasons import Failure, Reason
from shared.streams.attempts import FailedAttempts
from shared.streams.capacity import Capacity
from shared.streams.entries import Delivery
from shared.streams.handoff import Answer, HandOff, Item
from shared.streams.intake import Intake, Membership
from shared.streams.keys import DEAD, IMAGES
from shared.streams.leases import Leases
from shared.streams.marks import Marks
from shared.streams.outcome import Done, Output
from shared.streams.scripts import Scripts
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
        scripts = Scripts(suite.client)
        marks = Marks(suite.settings, 0)
        membership = Membership(keys.stream(IMAGES), "detector", name, keys.history(IMAGES))
        self.intake = Intake(suite.client, scripts, membership, lease_ms=0)
        self.leases = Leases(scripts, membership, 1000, Capacity(1000, 1000, ahead=0.0))
        self.handoff = HandOff(suite.client, scripts, keys, marks, membership)
        self.attempts = FailedAttempts(scripts, keys, marks, membership, suite.settings)
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
        self.run(
            consumer.attempts.send(delivery, FAILURE, final=final, message=message, result=failed)
        )

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
    def what_is_under_way_is_known(self) -> None:
        flights = self.run(self.suite.client.scard(self.suite.keys.in_flight))
        assert flights == len(self.submitted)

    async def state(self) -> tuple[set[str], Counter[str]]:
        entries = await self.suite.entries(IMAGES)
        inputs = {ImageMessage.decode(fields[b"m"]).id for fields in entries}
        outputs = Counter(one.id for one in await self.suite.results())
        return inputs, outputs

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
