"""The Lua scripts as typed calls: every change of the streams' state, and nothing else changes it.

Each method lays out the keys and arguments of one script, whose first lines say what they are, and
each answer is one of `Answer`.
"""

from collections.abc import Callable, Sequence
from enum import IntEnum
from importlib import resources
from typing import cast

from redis.asyncio import Redis

from shared.messages import Payload
from shared.streams.entries import Delivery, Membership, delivery
from shared.streams.high_water import HighWaterMark
from shared.streams.keys import DEAD, Keys
from shared.streams.refusals import Garbled
from shared.streams.replies import Checked, Script

Value = str | bytes | int


class Answer(IntEnum):
    """What a script says of an entry."""

    DONE = 1
    """What was asked for is done."""
    PUT_BACK = 2
    """The failed entry waits for its next attempt."""
    DEAD = 3
    """The failed entry is a dead letter now."""
    LOST = 0
    """The entry is no longer the caller's: others have it, or it is gone."""
    FULL = -1
    """A stream is at its high-water mark; nothing was changed."""
    PAYLOAD_MISSING = -2
    """A new payload is not there, or not of its size; nothing was changed."""
    WRONG_TYPE = -3
    """A key holds another type than it should; nothing was changed. See `mending`."""
    IN_FLIGHT = -4
    """The same image is under way already; nothing was changed."""
    EXHAUSTED = -5
    """A stream has an entry at the last id that there is; nothing was changed. See `mending`."""


CLAIM_BYTES = 16 << 20
"""Messages that one script claims, unless the first alone is larger."""


class _Answers(dict[int, Answer]):
    """By their numbers: `Answer(code)` is slow, and there is one a message."""

    def __missing__(self, code: int) -> Answer:
        raise Garbled(f"{code} is no answer of a script")


ANSWERS = _Answers({int(answer): answer for answer in Answer})


def _text(name: str) -> str:
    return resources.files("shared.streams").joinpath("lua", f"{name}.lua").read_text("utf-8")


def loader(client: Redis) -> Callable[[str], Script]:
    """Makes scripts of the files in lua/, each behind what they have in common."""
    common = _text("common")

    def load(name: str) -> Script:
        script = cast(Script, client.register_script(common + _text(name)))
        return Checked(client, name, script)

    return load


class Scripts:
    """The scripts on one server, for the streams below one prefix."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        self.client = client
        self.keys = keys
        load = loader(client)
        self._join = load("join")
        self._add = load("add")
        self._claim = load("claim")
        self._renew = load("renew")
        self._give_back = load("give_back")
        self._put = load("put")
        self._hand_off = load("handoff")
        self._fail = load("fail")
        self._later = load("later")
        self._return_due = load("return_due")
        self._bring_back = load("bring_back")
        self._tidy = load("tidy")
        self._leave = load("leave")

    async def join(self, membership: Membership) -> bool:
        """Make the group, and its stream, at its very beginning; False if it was there."""
        made: int = await self._join(
            keys=[membership.stream, self.keys.bytes], args=[membership.group]
        )
        return bool(made)

    async def add(
        self,
        stream: str,
        mark: HighWaterMark,
        encoded: bytes,
        weight: int,
        in_flight: str,
        once: str,
        remember_seconds: int,
        payloads: Sequence[Payload],
    ) -> Answer:
        """Add a message whose new payloads are set. `once` is a token: however
        often this is sent with it, one entry is added, and the answer is DONE."""
        code = await self._add(
            keys=[
                self.keys.bytes,
                self.keys.in_flight,
                self.keys.once(once),
                self.keys.stream(stream),
                *(self.keys.payload(payload.id) for payload in payloads),
            ],
            args=[
                mark.entries,
                mark.bytes,
                encoded,
                weight,
                in_flight,
                remember_seconds,
                len(payloads),
                *(payload.size for payload in payloads),
            ],
        )
        return ANSWERS[code]

    async def claim(
        self, membership: Membership, lease_ms: int, cursor: bytes, count: int
    ) -> tuple[bytes, list[Delivery]]:
        """Take over up to `count` entries whose lease has ended; where the next scan begins."""
        following, *claimed = await self._claim(
            keys=[membership.stream, membership.history],
            args=[membership.group, membership.consumer, lease_ms, cursor, count, CLAIM_BYTES],
        )
        return following, [
            delivery(entry_id, _pairs(fields), deliveries, failed)
            for entry_id, deliveries, failed, fields in claimed
        ]

    async def renew(self, membership: Membership, deliveries: Sequence[Delivery]) -> list[bytes]:
        """Renew the leases of entries that are still ours; the ids of those that are not."""
        arguments = [membership.group, membership.consumer, *_counted(deliveries)]
        return cast("list[bytes]", await self._renew(keys=[membership.stream], args=arguments))

    async def give_back(
        self, membership: Membership, idle_ms: int, deliveries: Sequence[Delivery]
    ) -> list[bytes]:
        """Give entries back that are still ours, as if this consumer had never had them, with so
        much of their lease gone (all of it: others have them at once); the ids of those that are
        not."""
        arguments = [membership.group, membership.consumer, idle_ms, *_counted(deliveries)]
        return cast("list[bytes]", await self._give_back(keys=[membership.stream], args=arguments))

    async def put(
        self, payload: str, content: bytes, seconds: int, stream: str, mark: HighWaterMark
    ) -> Answer:
        """Set a payload (by its id) for a `stream` up to its mark, though Redis is full."""
        code = await self._put(
            keys=[self.keys.bytes, self.keys.stream(stream), self.keys.payload(payload)],
            args=[mark.entries, mark.bytes, content, seconds],
        )
        return ANSWERS[code]

    async def hand_off(self, keys: Sequence[Value], args: Sequence[Value]) -> list[Answer]:
        """One answer an item. `shared.streams.handoff` lays out the call: it is made for many
        items at once, and takes too much of a stage's time to be laid out twice."""
        return [ANSWERS[code] for code in await self._hand_off(keys=keys, args=args)]

    async def fail(
        self,
        membership: Membership,
        failed: Delivery,
        in_flight: str,
        attempt: str,
        reason: tuple[str, str],
        idle_ms: int | None,
        result: tuple[bytes, int] | None,
        marks: tuple[HighWaterMark, HighWaterMark],
    ) -> Answer:
        """Record a failed attempt.

        Args:
            attempt: one line of the entry's history, as JSON.
            reason: sentence and code.
            idle_ms: put it back, with this much of its lease gone; None: make it a dead letter.
            result: what the writer is told of a dead letter, and its weight.
            marks: of the dead letters and of the results.
        """
        dead, results = marks
        encoded, weight = result or (b"", 0)
        code = await self._fail(
            keys=[*self._of(membership), self.keys.stream(DEAD), self.keys.stream("results")],
            args=[
                *self._names(membership, failed),
                in_flight,
                dead.entries,
                dead.bytes,
                results.entries,
                results.bytes,
                attempt,
                *reason,
                -1 if idle_ms is None else idle_ms,
                failed.encoded,
                encoded,
                weight,
            ],
        )
        return ANSWERS[code]

    async def later(
        self,
        membership: Membership,
        stream: str,
        put_off: Delivery,
        key: str,
        wait_ms: int,
        reason: str,
    ) -> Answer:
        """Move an entry out of its stream into the waiting set of `key`, for `wait_ms`."""
        code = await self._later(
            keys=[*self._of(membership), *self._waiting(stream)],
            args=[*self._names(membership, put_off), key, wait_ms, put_off.encoded, reason],
        )
        return ANSWERS[code]

    async def bring_back(
        self, stream: str, key: str, cursor: bytes, count: int
    ) -> tuple[bytes, int]:
        """Of about `count` entries that wait, those for `key` become due now. Where the next look
        begins (`0`: all were looked at), and how many became due."""
        following, found = await self._bring_back(
            keys=self._waiting(stream)[:2], args=[key, cursor, count]
        )
        return following, found

    async def return_due(self, stream: str, count: int) -> int:
        """Put up to `count` entries whose wait is over back into their stream; how many."""
        returned: int = await self._return_due(
            keys=[
                self.keys.stream(stream),
                self.keys.bytes,
                self.keys.history(stream),
                *self._waiting(stream),
            ],
            args=[count],
        )
        return returned

    async def tidy(self, membership: Membership, idle_ms: int) -> int:
        """Take consumers off the group that hold nothing and are idle this long; how many."""
        removed: int = await self._tidy(keys=[membership.stream], args=[membership.group, idle_ms])
        return removed

    async def leave(self, membership: Membership) -> bool:
        """Take this consumer off its group, unless something is still pending for it."""
        left: int = await self._leave(
            keys=[membership.stream], args=[membership.group, membership.consumer]
        )
        return bool(left)

    def _of(self, membership: Membership) -> list[Value]:
        """The keys with which the scripts begin that end an entry."""
        return [
            membership.stream,
            self.keys.bytes,
            self.keys.in_flight,
            membership.history,
            self.keys.rate,
        ]

    @staticmethod
    def _names(membership: Membership, one: Delivery) -> list[Value]:
        """The arguments that name one delivery, and its weight."""
        return [membership.group, membership.consumer, one.id, one.deliveries, one.weight]

    def _waiting(self, stream: str) -> list[Value]:
        return [
            self.keys.due(stream),
            self.keys.waiting(stream),
            self.keys.waiting_of_key(stream),
            self.keys.waiting_reasons(stream),
        ]


def _pairs(flat: list[bytes]) -> dict[bytes, bytes]:
    return dict(zip(flat[::2], flat[1::2], strict=True))


def _counted(deliveries: Sequence[Delivery]) -> list[Value]:
    """The arguments that name several deliveries: how many, and which."""
    arguments: list[Value] = [len(deliveries)]
    for one in deliveries:
        arguments += (one.id, one.deliveries)
    return arguments
