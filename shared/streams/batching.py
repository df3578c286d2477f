"""Script calls for the hand-offs of many workers: while calls are under way, the next gathers."""

import asyncio
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from shared.streams.cancellation import happens_within
from shared.streams.handoff import HandOff, Item
from shared.streams.scripts import Answer

CALLS_AT_ONCE = 2
"""One is packed here while Redis is at work on the other."""

FULL = 200
"""Inputs and outputs gathered for one call. A larger one saves next to nothing and keeps more
workers waiting at a time; what one worker brings is never divided."""


@dataclass(frozen=True)
class _Turn:
    items: Sequence[Item]
    answered: "asyncio.Future[list[Answer]]"

    @property
    def size(self) -> int:
        return sum(item.size for item in self.items)


class HandOffBatching:
    """Sends hand-offs together. One that comes alone goes at once.

    Each worker of a detector finishes one entry at a time. Under load their hand-offs share round
    trips and script calls, as if they had been one batch, though none waits for another's work.
    """

    def __init__(
        self,
        handoff: HandOff,
        pause: float = 0.0,
        enough: int = 1,
        held: Callable[[], int] = lambda: sys.maxsize,
    ) -> None:
        """Calls begin at least `pause` seconds apart, unless `enough` hand-offs wait, or those of
        all entries that are `held`: then no other is to come."""
        self._handoff = handoff
        self._pause = pause
        self._enough = enough
        self._held = held
        self._waiting: list[_Turn] = []
        self._size = 0
        self._entries = 0
        self._calls: set[asyncio.Task[None]] = set()
        self._is_enough = asyncio.Event()
        self._next_at = 0.0

    async def send(self, items: Sequence[Item]) -> list[Answer]:
        """One answer an item, in order; `items` fit one call (`in_calls`).

        Raises:
            what `HandOff.send` raises, to all whose hand-offs were in that call.
        """
        turn = _Turn(items, asyncio.get_running_loop().create_future())
        self._waiting.append(turn)
        self._size += turn.size
        self._entries += len(items)
        if len(self._waiting) >= self._enough or self._entries >= self._held():
            self._is_enough.set()
        self._begin_call()
        return await turn.answered

    async def close(self) -> None:
        """Nobody waits for an answer any more."""
        self._waiting.clear()
        for call in self._calls:
            call.cancel()
        await asyncio.gather(*self._calls, return_exceptions=True)

    def _begin_call(self) -> None:
        """A call for those who wait, if none is under way, or beside one if it would be full."""
        beside = len(self._calls) < CALLS_AT_ONCE and self._size >= FULL
        if self._waiting and (beside or not self._calls):
            call = asyncio.create_task(self._call())
            self._calls.add(call)
            call.add_done_callback(self._call_ended)

    def _call_ended(self, call: "asyncio.Task[None]") -> None:
        self._calls.discard(call)
        self._begin_call()

    async def _call(self) -> None:
        await self._until_due()
        turns = self._take()
        if not turns:
            return  # the call beside this one took them
        try:
            answers = await self._handoff.send([item for turn in turns for item in turn.items])
        except Exception as error:  # noqa: BLE001 - each of those who wait deals with it
            for turn in turns:
                if not turn.answered.done():
                    turn.answered.set_exception(error)
            return
        start = 0
        for turn in turns:
            if not turn.answered.done():  # its worker was cancelled at the end of a drain
                turn.answered.set_result(answers[start : start + len(turn.items)])
            start += len(turn.items)

    async def _until_due(self) -> None:
        loop = asyncio.get_running_loop()
        if self._pause and (left := self._next_at - loop.time()) > 0:
            await happens_within(self._is_enough, left)
        self._next_at = loop.time() + self._pause

    def _take(self) -> list[_Turn]:
        """Who waits, as many as fit a call, in their order."""
        size = taken = 0
        for turn in self._waiting:
            if taken and size + turn.size > FULL:
                break
            size += turn.size
            taken += 1
        turns, self._waiting = self._waiting[:taken], self._waiting[taken:]
        self._size -= size
        self._entries -= sum(len(turn.items) for turn in turns)
        if len(self._waiting) < self._enough:
            self._is_enough.clear()
        return turns
