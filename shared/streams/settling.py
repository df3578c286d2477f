"""From a batch of deliveries to their end: decode, handle, hand off or fail."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import cache, partial
from typing import Generic

import structlog

from shared.backoff import backoff
from shared.errors import InvalidMessage, LeftToOthers, Unreachable
from shared.messages import Message
from shared.metrics import ENTRIES, ENTRY_AGE_SECONDS, FULL_SECONDS, HANDLE_SECONDS
from shared.printing import without_words
from shared.reasons import Failure, Reason
from shared.settings import Settings
from shared.streams.attempts import FailedAttempts
from shared.streams.batching import HandOffBatching
from shared.streams.entries import Delivery, Membership
from shared.streams.handoff import Item, in_calls
from shared.streams.leases import Leases
from shared.streams.mending import Mending
from shared.streams.outage import Outage
from shared.streams.refusals import Misplaced
from shared.streams.scripts import Answer, Scripts
from shared.streams.stage import Dead, Done, Later, M, Outcome, Retry, StageSpec, Work
from shared.streams.stats import misplaced

FULL_FIRST_SECONDS = 0.02
FULL_CAP_SECONDS = 1.0

LEFT_SECONDS = 5.0
"""When an entry that was left to others may be looked at again, by whoever comes first."""

_ENDINGS = {Answer.PUT_BACK: "retry", Answer.DEAD: "dead", Answer.LOST: "lost"}
"""How an entry ended, as the metric of entries calls it."""

log = structlog.get_logger()


@dataclass(eq=False)
class _Read(Generic[M]):
    """A delivery and the message in it."""

    delivery: Delivery
    message: M


class Settling(Generic[M]):
    """Handles batches for one consumer and brings every delivery to an end."""

    def __init__(
        self,
        spec: StageSpec[M],
        handoff: HandOffBatching,
        failed_attempts: FailedAttempts,
        leases: Leases,
        servers: Outage,
        settings: Settings,
        scripts: Scripts,
        membership: Membership,
        output: Outage,
        mending: Mending,
        look_again_in: Callable[[float], None],
    ) -> None:
        self._spec = spec
        self._handoff = handoff
        self._failed_attempts = failed_attempts
        self._leases = leases
        self._servers = servers
        self._settings = settings
        self._scripts = scripts
        self._membership = membership
        self._output = output
        self._mending = mending
        self._left_for: set[str] = set()
        self._look_again_in = look_again_in
        self._handle_seconds = HANDLE_SECONDS.labels(spec.name)
        self._age_seconds = ENTRY_AGE_SECONDS.labels(spec.name)
        self._ended_as = cache(partial(ENTRIES.labels, spec.name))

    async def handle_and_settle(self, deliveries: Sequence[Delivery]) -> None:
        """The whole way of one batch; when it returns, none of it is held any more."""
        read = await self._read(deliveries)
        if not read:
            return
        outcomes = await self._handle(read)
        done: list[Item] = []
        put_off: list[Awaitable[None]] = []
        for one, outcome in zip(read, outcomes, strict=True):
            match outcome:
                case Done():
                    done.append(Item(one.delivery, one.message, outcome))
                case Retry():
                    await self._fail(one.delivery, one.message, outcome.failure, final=False)
                case Dead():
                    await self._fail(one.delivery, one.message, outcome.failure, final=True)
                case Later():
                    put_off.append(self._put_off(one.delivery, outcome))
        await asyncio.gather(*put_off)
        await self._hand_off(done)

    async def _read(self, deliveries: Sequence[Delivery]) -> list[_Read[M]]:
        """Their messages; a delivery that has none for us is dealt with here."""
        read: list[_Read[M]] = []
        for delivery in deliveries:
            try:
                message = self._spec.decode(delivery.encoded)
            except LeftToOthers as error:
                await self._leave_to_others(delivery, str(error))
            except InvalidMessage as error:
                await self._fail(
                    delivery, None, Failure(Reason.INVALID_MESSAGE, str(error)), final=True
                )
            else:
                if delivery.deliveries > self._settings.max_deliveries:
                    await self._fail(delivery, message, _poison(delivery), final=True)
                else:
                    read.append(_Read(delivery, message))
        return read

    async def _leave_to_others(self, delivery: Delivery, reason: str) -> None:
        """For consumers of another version; told once, however many entries there are."""
        if reason not in self._left_for:
            self._left_for.add(reason)
            log.warning(
                "left to consumers of another version", stage=self._spec.name, reason=reason
            )
        leave = partial(
            self._scripts.give_back,
            self._membership,
            self._idle_ms_for(LEFT_SECONDS),
            [delivery],
        )
        await self._servers.until_done(leave)
        self._ended_as("left").inc()
        self._leases.let_go([delivery])

    async def _put_off(self, delivery: Delivery, outcome: Later) -> None:
        """Into the waiting set of its key."""
        later = partial(
            self._scripts.later,
            self._membership,
            self._spec.stream,
            delivery,
            outcome.key,
            int(1000 * max(0.0, outcome.seconds)),
            outcome.reason,
        )
        waits = 0
        while (answer := await self._servers.until_done(later)) is Answer.WRONG_TYPE:
            waits += 1
            await self._wait_for_room({answer}, waits)
        if answer is None:
            return
        self._output.ready()
        if answer is Answer.DONE:
            self._look_again_in(outcome.seconds)
        self._ended_as("later" if answer is Answer.DONE else "lost").inc()
        self._leases.let_go([delivery])

    def _idle_ms_for(self, seconds: float) -> int:
        """How idle an entry is to look, so that others may claim it in so many seconds."""
        return int(1000 * max(0.0, self._settings.lease_seconds - seconds))

    async def _handle(self, read: Sequence[_Read[M]]) -> Sequence[Outcome]:
        """What the handler says; where it stumbles over a batch, what it says of each alone."""
        works = [
            Work(
                one.message,
                one.delivery.failed_attempts + 1,
                self._membership.consumer,
                partial(self._leases.is_held, one.delivery),
            )
            for one in read
        ]
        while True:
            began = time.perf_counter()
            try:
                outcomes = await self._spec.handle(works)
                if len(outcomes) != len(works):
                    raise ValueError(f"{len(outcomes)} outcomes of {len(works)} messages")
            except Unreachable as error:
                await self._servers.wait(error)
            except Exception as error:  # noqa: BLE001 - a handler's bug must not stop the stage
                if len(read) > 1:  # the culprit alone is to blame, not its neighbours
                    return [(await self._handle([one]))[0] for one in read]
                log.error(
                    "handler failed",
                    stage=self._spec.name,
                    **read[0].message.about,
                    exception=without_words(error),
                )
                return [Retry(f"{type(error).__name__}: {error}")]
            else:
                self._servers.ready()
                self._handle_seconds.observe(time.perf_counter() - began)
                return outcomes

    async def _hand_off(self, items: Sequence[Item]) -> None:
        """Hand off until every item is done or no longer ours; waits where there is no room."""
        waits = 0
        while items:
            again: list[Item] = []
            problems: set[Answer] = set()
            for call in in_calls(items):
                answers = await self._servers.until_done(partial(self._handoff.send, call))
                by_answer: dict[Answer, list[Item]] = {}
                for item, answer in zip(call, answers or (), strict=True):
                    by_answer.setdefault(answer, []).append(item)
                for answer, answered in by_answer.items():
                    if answer in (Answer.DONE, Answer.LOST):
                        await self._ended([i.delivery for i in answered], answer.name.lower())
                    else:
                        again += answered
                        problems.add(answer)
            items = again
            if items:
                waits += 1
                await self._wait_for_room(problems, waits)
        self._output.ready()

    async def _wait_for_room(self, problems: set[Answer], waits: int) -> None:
        """Wait until outputs may be taken. What can be mended is; what a person must do is told."""
        if Answer.EXHAUSTED in problems:
            await self._servers.until_done(partial(self._mending.ids, tries=True))
        if Answer.WRONG_TYPE in problems:
            await self._servers.until_done(self._mending.types)
            look = partial(misplaced, self._scripts.client, self._scripts.keys)
            if found := await self._servers.until_done(look):
                self._output.tell(str(Misplaced(*found)))
        delay = backoff(waits, FULL_FIRST_SECONDS, FULL_CAP_SECONDS)
        FULL_SECONDS.labels(self._spec.name).inc(delay)
        await asyncio.sleep(delay)

    async def _fail(
        self, delivery: Delivery, message: M | None, failure: Failure, *, final: bool
    ) -> None:
        attempts = delivery.failed_attempts + 1
        result: Message | None = None
        if message is not None:
            result = self._failed_result(message, failure, attempts)
        delay = self._failed_attempts.delay(delivery, final=final, reason=failure.reason)
        send = partial(
            self._failed_attempts.send, delivery, failure, delay, message=message, result=result
        )
        waits = 0
        while True:
            answer = await self._servers.until_done(send)
            if answer not in (Answer.FULL, Answer.WRONG_TYPE, Answer.EXHAUSTED):
                break
            waits += 1
            await self._wait_for_room({answer}, waits)
        if answer is None:
            return
        self._output.ready()
        log.warning(
            "attempt failed" if answer is Answer.PUT_BACK else "dead letter",
            stage=self._spec.name,
            entry=delivery.id.decode(),
            attempts=attempts,
            code=failure.reason.value,  # its sentence may name a file: `faces dead show` tells it
            **(message.about if message is not None else {}),
        )
        if answer is Answer.PUT_BACK and delay is not None:
            self._look_again_in(delay)
        await self._ended([delivery], _ENDINGS[answer])

    def _failed_result(self, message: M, failure: Failure, attempts: int) -> Message | None:
        """What the writer is told of a dead letter, in plain words where the reason's own fail."""
        consumer = self._membership.consumer
        try:
            return self._spec.failed(message, failure, attempts, consumer)
        except ValueError:  # pydantic's too: a sentence that no message can hold
            plain = Failure(failure.reason, failure.reason.meaning)
            return self._spec.failed(message, plain, attempts, consumer)

    async def _ended(self, deliveries: Sequence[Delivery], outcome: str) -> None:
        self._ended_as(outcome).inc(len(deliveries))
        if outcome == "lost":
            log.info("others finished these", entries=[one.id.decode() for one in deliveries])
        else:
            now = time.time()
            for one in deliveries:
                self._age_seconds.observe(max(0.0, now - one.added_ms / 1000))
        self._leases.let_go(deliveries)


def _poison(delivery: Delivery) -> Failure:
    return Failure(Reason.POISON, f"delivered {delivery.deliveries} times; no consumer survived it")
