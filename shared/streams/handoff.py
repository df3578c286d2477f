"""Ending deliveries: one script call that adds outputs and finishes entries, for many at once."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from pydantic_core import to_json
from redis.asyncio import Redis
from redis.exceptions import OutOfMemoryError

from shared.messages import Message, Payload
from shared.portions import in_portions
from shared.streams.entries import Delivery, Membership, weight_of
from shared.streams.high_water import HighWaterMarks
from shared.streams.keys import Keys
from shared.streams.payloads import PAYLOAD_EXPIRY_SECONDS, set_payloads
from shared.streams.refusals import Garbled
from shared.streams.scripts import Answer, Scripts, Value
from shared.streams.stage import Done, Output
from shared.streams.topology import STREAMS

OUTPUTS_AT_ONCE = 500
"""Outputs added by one script at most (but never less than one item): a few milliseconds."""


@dataclass(eq=False)
class Item:
    """One delivery to finish, with the message that was read from it and its outcome."""

    delivery: Delivery
    message: Message
    outcome: Done

    @property
    def size(self) -> int:
        """How much this item adds to a script call."""
        return 1 + len(self.outcome.outputs)


@dataclass
class _Call:
    """Keys, numbers and texts of one call, in the order in which handoff.lua reads them."""

    keys: list[Value]
    numbers: list[int] = field(default_factory=list)
    texts: list[Value] = field(default_factory=list)


class HandOff:
    """Finishes deliveries of one consumer; every item wholly or not at all."""

    def __init__(
        self,
        client: Redis,
        scripts: Scripts,
        keys: Keys,
        marks: HighWaterMarks,
        membership: Membership,
    ) -> None:
        self._client = client
        self._scripts = scripts
        self._keys = keys
        self._marks = marks
        self._membership = membership

    async def send(self, items: Sequence[Item]) -> list[Answer]:
        """Set the new payloads, then run the script; one answer an item, in order."""
        await self._set_payloads([out for item in items for out in item.outcome.outputs])
        call = self._plan(items)
        deliveries = [item.delivery for item in items]
        answers = await self._scripts.hand_off(
            keys=call.keys,
            args=[
                self._membership.group,
                self._membership.consumer,
                to_json(call.numbers),  # one argument, where there would be eight an entry
                min(deliveries).id,
                max(deliveries).id,
                *call.texts,
            ],
        )
        if len(answers) != len(items):
            raise Garbled(f"{len(answers)} answers to {len(items)} items of a hand-off")
        return answers

    async def _set_payloads(self, outputs: Sequence[Output]) -> None:
        payloads = [pair for output in outputs for pair in output.payloads.items()]
        try:
            await set_payloads(self._client, self._keys, payloads)
        except OutOfMemoryError:
            streams = {output.message.stream for output in outputs}
            if not (_beyond_full(streams) and await self._set_though_full(outputs)):
                raise

    async def _set_though_full(self, outputs: Sequence[Output]) -> bool:
        """Set payloads through a script, which Redis lets through; False where streams are full.

        For this time alone: what passes through a script holds all others up (8 MB: 59 ms).
        """
        for output in outputs:
            name = output.message.stream
            mark = self._marks.of_stream(name)
            for payload, content in output.payloads.items():
                answer = await self._scripts.put(
                    payload.id, content, PAYLOAD_EXPIRY_SECONDS, name, mark
                )
                if answer is not Answer.DONE:
                    return False
        return True

    def _plan(self, items: Sequence[Item]) -> _Call:
        names = sorted({out.message.stream for item in items for out in item.outcome.outputs})
        call = _Call(
            [
                self._membership.stream,
                self._keys.bytes,
                self._keys.in_flight,
                self._membership.history,
                self._keys.rate,
                *map(self._keys.stream, names),
            ]
        )
        call.numbers += (int(_beyond_full(names)), len(names))
        for name in names:
            mark = self._marks.of_stream(name)
            call.numbers += (mark.entries, mark.bytes)
        call.numbers.append(len(items))
        for item in items:
            self._plan_item(call, item, names)
        return call

    def _plan_item(self, call: _Call, item: Item, names: list[str]) -> None:
        delivery, outputs = item.delivery, item.outcome.outputs
        dropped = _dropped(item)
        call.keys += self._payload_keys(dropped)
        call.numbers += (delivery.deliveries, delivery.weight, len(dropped), len(outputs))
        call.texts += (delivery.id, item.message.in_flight)
        for output in outputs:
            message = output.message
            encoded = message.encode()
            passed_on = _passed_on(output)
            call.keys += self._payload_keys(output.payloads)
            call.keys += self._payload_keys(passed_on)
            call.numbers += (
                names.index(message.stream) + 1,
                weight_of(message, encoded),
                len(output.payloads),
                len(passed_on),
                *(payload.size for payload in output.payloads),
            )
            call.texts += (encoded, message.in_flight)

    def _payload_keys(self, payloads: Iterable[Payload]) -> list[str]:
        return [self._keys.payload(payload.id) for payload in payloads]


def _beyond_full(streams: Iterable[str]) -> bool:
    """Whether entries are added to all of these also while Redis is full."""
    return all(STREAMS[name].beyond_full or STREAMS[name].wakes for name in streams)


def _passed_on(output: Output) -> list[Payload]:
    """Payloads that the output's message takes over from the input."""
    return [payload for payload in output.message.payloads if payload not in output.payloads]


def _dropped(item: Item) -> list[Payload]:
    """Payloads of the input that no output takes over."""
    payloads = item.message.payloads
    if not payloads:
        return []
    carried = {payload for output in item.outcome.outputs for payload in _passed_on(output)}
    return [payload for payload in payloads if payload not in carried]


def in_calls(items: Sequence[Item]) -> list[list[Item]]:
    """Split items into calls that each keep Redis busy for a few milliseconds at most."""
    return list(in_portions(items, lambda item: item.size, OUTPUTS_AT_ONCE))
