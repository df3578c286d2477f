"""Dead letters: reading them, putting them back, dropping them."""

import json
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from typing import Literal, cast

from redis.asyncio import Redis

from shared.errors import FacesError
from shared.messages import Message
from shared.reasons import Reason
from shared.settings import Settings
from shared.streams.entries import LAST_ID, delivery, weight_of
from shared.streams.high_water import ENTRY_OVERHEAD_BYTES, HighWaterMarks
from shared.streams.keys import DEAD, Keys
from shared.streams.mending import Mending
from shared.streams.remedies import Remedies
from shared.streams.scripts import Answer
from shared.streams.topology import STREAMS

PAGE = 200

LAST_SECOND = 253_402_300_799
"""The end of the year 9999: the id of an entry added by hand may claim to be later."""

Revived = Literal["retried", "gone", "under way"]
_REVIVED: dict[Answer, Revived] = {
    Answer.DONE: "retried",
    Answer.LOST: "gone",
    Answer.IN_FLIGHT: "under way",
}


@dataclass(frozen=True)
class Attempt:
    """One line of an entry's history."""

    at: str
    consumer: str
    reason: str
    code: Reason


@dataclass(frozen=True)
class DeadLetter:
    """An entry that was given up, as it was, with why.

    Attributes:
        stream: that it was in: `sources`, `images`, ...
        weight, weight_without_bytes: what it counts for, with its payloads and without them.
        bytes_gone: it had payloads that Redis has no more: dead letters are bounded, and the
            oldest lose their bytes first.
    """

    id: str
    stream: str
    reason: str
    code: Reason
    history: tuple[Attempt, ...]
    encoded: bytes
    weight: int
    weight_without_bytes: int
    bytes_gone: bool = False

    @property
    def died_at(self) -> datetime:
        """When it was given up, by the server's clock."""
        return datetime.fromtimestamp(min(int(self.id.split("-")[0]) / 1000, LAST_SECOND), UTC)

    @property
    def message(self) -> Message | None:
        """What it carries; None where it is no message."""
        kind = STREAMS.get(self.stream)
        try:
            return kind.decode(self.encoded) if kind and kind.decode else None
        except FacesError:
            return None

    @property
    def payload_ids(self) -> tuple[str, ...]:
        """Of the payloads that it keeps, or kept."""
        message = self.message
        return tuple(payload.id for payload in message.payloads) if message else ()

    @property
    def name(self) -> str:
        """What it is about, for people: the picture's name, or the source."""
        message = self.message
        found = getattr(message, "name", None) or getattr(message, "uri", None)
        return str(found) if found else "(unreadable)" if message is None else "(inline pictures)"


class DeadLetters:
    """The dead letters of one suite, oldest first."""

    def __init__(self, client: Redis, settings: Settings) -> None:
        self._client = client
        self._settings = settings
        self._keys = Keys(settings.prefix)
        self._remedies = Remedies(client, self._keys)

    async def count(self) -> int:
        """How many there are."""
        return int(await self._client.xlen(self._keys.stream(DEAD)))

    async def codes(self) -> Counter[str]:
        """How many there are with each code."""
        counts: Counter[str] = Counter()
        async for letter in self.all():
            counts[letter.code.value] += 1
        return counts

    async def all(
        self, reason: str = "", older_than: datetime | None = None
    ) -> AsyncIterator[DeadLetter]:
        """Those that died before `older_than` and whose reason has this code, or contains this."""
        start = "-"
        end = str(int(older_than.timestamp() * 1000)) if older_than else "+"
        while page := await self._page(start, end):
            for letter in page:
                if reason == letter.code or reason.lower() in letter.reason.lower():
                    yield letter
            start = f"({page[-1].id}"

    async def find(self, letter_id: str) -> DeadLetter:
        """One by its id.

        Raises:
            FacesError: there is none, or that is no id.
        """
        if not all(part.isdigit() for part in letter_id.split("-", 1)):
            raise FacesError(f"{letter_id!r} is not the id of a dead letter; see `faces dead list`")
        page = await self._page(letter_id, letter_id)
        if not page:
            raise FacesError(f"there is no dead letter {letter_id}; see `faces dead list`")
        return page[0]

    async def retry(self, letter: DeadLetter, message: Message) -> Revived:
        """Put it back at the end of its stream, with all its attempts before it.

        `message` is the letter's own, under the generation that its row has now.
        """
        marks = await HighWaterMarks.of(self._client, self._settings)
        mark = marks.of_stream(letter.stream)
        encoded = message.encode()
        revive = partial(
            self._remedies.revive,
            letter,
            letter.stream,
            mark,
            encoded,
            weight_of(message, encoded),
            message.in_flight,
        )
        answer = await self._mended(revive)
        if answer is Answer.WRONG_TYPE:
            key = self._keys.stream(letter.stream)
            raise FacesError(f"Redis key {key} is not a stream; rename or delete it")
        return _REVIVED[answer]

    async def drop(self, letter: DeadLetter) -> bool:
        """Delete it with its bytes; False if it was gone already."""
        return await self._mended(partial(self._remedies.drop, letter)) is Answer.DONE

    async def _mended(self, call: Callable[[], Awaitable[Answer]]) -> Answer:
        """What a remedy answers, once more after what was in its way is mended."""
        answer = await call()
        mending = Mending(self._client, self._keys)
        if answer is Answer.EXHAUSTED:
            await mending.ids(tries=True)
        elif answer is Answer.WRONG_TYPE:
            await mending.types()
        else:
            return answer
        return await call()

    async def _page(self, start: str, end: str) -> list[DeadLetter]:
        letters = await read_letters(self._client, self._keys, start, end, PAGE)
        async with self._client.pipeline(transaction=False) as pipeline:
            for letter in letters:
                pipeline.exists(*map(self._keys.payload, letter.payload_ids or ("",)))
            there = await pipeline.execute()
        return [
            replace(letter, bytes_gone=number < len(letter.payload_ids))
            for letter, number in zip(letters, there, strict=True)
        ]


async def read_letters(
    client: Redis, keys: Keys, start: str, end: str, count: int
) -> list[DeadLetter]:
    """Up to `count` letters from `start` to `end`, oldest first; payloads are not looked for."""
    if start == "(" + LAST_ID:
        return []
    answer = await client.xrange(keys.stream(DEAD), start, end, count=count)
    # redis-py types the answer for all protocols at once; with protocol 2 it is this.
    entries = cast("list[tuple[bytes, dict[bytes, bytes]]]", answer or [])
    return [_letter(entry_id, fields) for entry_id, fields in entries]


def _letter(entry_id: bytes, fields: dict[bytes, bytes]) -> DeadLetter:
    read = delivery(entry_id, fields)
    reason = fields.get(b"reason", b"").decode("utf-8", "replace")
    code = fields.get(b"code")
    history = fields.get(b"history", b"[]")
    texts = len(read.encoded) + len(history) + len(fields.get(b"reason", b""))
    return DeadLetter(
        id=entry_id.decode(),
        stream=fields.get(b"stream", b"").decode("utf-8", "replace").rpartition(":")[2],
        reason=reason,
        code=Reason.of(code.decode("utf-8", "replace") if code else None, reason),
        history=_history(history),
        encoded=read.encoded,
        weight=read.weight,
        weight_without_bytes=min(read.weight, ENTRY_OVERHEAD_BYTES + texts),
    )


def _history(text: bytes) -> tuple[Attempt, ...]:
    """The attempts; none where a letter was written by hand: it must not hide the others."""
    try:
        attempts = json.loads(text)
        return tuple(
            Attempt(
                str(one["at"]),
                str(one["consumer"]),
                str(one["reason"]),
                Reason.of(one.get("code"), str(one["reason"])),
            )
            for one in attempts
        )
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return ()
