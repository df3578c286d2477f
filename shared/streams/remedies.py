"""The Lua scripts of the remedies as typed calls: dead letters, and marks that nothing carries.

They work also while Redis is full: none adds more than it frees.
"""

from collections.abc import Sequence

from redis.asyncio import Redis

from shared.streams.high_water import HighWaterMark
from shared.streams.keys import DEAD, Keys
from shared.streams.scripts import ANSWERS, Answer, loader


class Remedies:
    """The scripts on one server, for the streams below one prefix."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        self.keys = keys
        load = loader(client)
        self._revive = load("revive")
        self._drop = load("drop")
        self._forget_in_flight = load("forget_in_flight")

    async def revive(
        self,
        letter: str,
        counted: int,
        stream: str,
        mark: HighWaterMark,
        encoded: bytes,
        weight: int,
        in_flight: str,
    ) -> Answer:
        """Put a dead letter back at the end of its stream; LOST where there is no such letter."""
        code = await self._revive(
            keys=[
                self.keys.bytes,
                self.keys.in_flight,
                self.keys.stream(DEAD),
                self.keys.stream(stream),
            ],
            args=[letter, counted, mark.entries, mark.bytes, encoded, weight, in_flight],
        )
        return ANSWERS[code]

    async def drop(self, letter: str, counted: int, payloads: Sequence[str]) -> Answer:
        """Delete a dead letter with its payloads; LOST where there is no such letter."""
        code = await self._drop(
            keys=[self.keys.bytes, self.keys.stream(DEAD), *map(self.keys.payload, payloads)],
            args=[letter, counted, len(payloads)],
        )
        return ANSWERS[code]

    async def forget_in_flight(self, streams: Sequence[str]) -> bool:
        """Forget what is in flight, if no entry of these streams can carry it any more."""
        done: int = await self._forget_in_flight(
            keys=[
                self.keys.in_flight,
                *map(self.keys.stream, streams),
                *map(self.keys.due, streams),
            ],
            args=[len(streams)],
        )
        return bool(done)
