"""One script call for the hand-offs of many workers: while one is under way, the next gathers."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from shared.streams.handoff import OUTPUTS_AT_ONCE, Answer, HandOff, Item


@dataclass(frozen=True)
class _Turn:
    items: Sequence[Item]
    answered: "asyncio.Future[list[Answer]]"

    @property
    def size(self) -> int:
        return sum(item.size for item in self.items)


class Gathering:
    """Sends hand-offs together. One that comes alone goes at once.

    Each worker of a detector finishes one entry at a time. Under load their hand-offs share round
    trips and script calls, as if they had been one batch, though none waits for another's work.
    """

    def __init__(self, handoff: HandOff) -> None:
        self._handoff = handoff
        self._waiting: list[_Turn] = []
        self._sending: asyncio.Task[None] | None = None

    async def send(self, items: Sequence[Item]) -> list[Answer]:
        """One answer an item, in order; `items` fit one call (`in_calls`).

        Raises:
            what `HandOff.send` raises, to all whose hand-offs were in that call.
        """
        turn = _Turn(items, asyncio.get_running_loop().create_future())
        self._waiting.append(turn)
        if self._sending is None or self._sending.done():
            self._sending = asyncio.create_task(self._send_all())
        return await turn.answered

    async def close(self) -> None:
        """Nobody waits for an answer any more."""
        if self._sending is not None:
            self._sending.cancel()
            with suppress(asyncio.CancelledError):
                await self._sending

    async def _send_all(self) -> None:
        while turns := self._next():
            try:
                answers = await self._handoff.send([item for turn in turns for item in turn.items])
            except Exception as error:  # noqa: BLE001 - each of those who wait deals with it
                for turn in turns:
                    if not turn.answered.done():
                        turn.answered.set_exception(error)
                continue
            start = 0
            for turn in turns:
                if not turn.answered.done():  # its worker was cancelled at the end of a drain
                    turn.answered.set_result(answers[start : start + len(turn.items)])
                start += len(turn.items)

    def _next(self) -> list[_Turn]:
        """Who waits now, as many as fit one call, in their order."""
        size = taken = 0
        for turn in self._waiting:
            size += turn.size
            if taken and size > OUTPUTS_AT_ONCE:
                break
            taken += 1
        turns, self._waiting = self._waiting[:taken], self._waiting[taken:]
        return turns
