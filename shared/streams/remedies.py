"""The Lua scripts of the remedies as typed calls: dead letters put back, dropped, kept in bounds.

They work also while Redis is full: none adds more than it frees.
"""

from collections.abc import Sequence
from typing import Protocol

from redis.asyncio import Redis

from shared.streams.high_water import ENTRY_OVERHEAD_BYTES, HighWaterMark
from shared.streams.keys import DEAD, Keys
from shared.streams.scripts import ANSWERS, Answer, Value, loader


class Weighed(Protocol):
    """A dead letter, as far as the scripts need to know it."""

    @property
    def id(self) -> str:
        """Of its entry."""

    @property
    def weight(self) -> int:
        """Bytes that it counts for."""

    @property
    def weight_without_bytes(self) -> int:
        """Bytes that it counts for when its payloads are gone."""

    @property
    def payload_ids(self) -> Sequence[str]:
        """Of the payloads that it keeps, or kept."""


class Remedies:
    """The scripts on one server, for the streams below one prefix."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        self.keys = keys
        load = loader(client)
        self._revive = load("revive")
        self._drop = load("drop")
        self._shed = load("shed")
        self._weigh = load("weigh")

    async def revive(
        self,
        letter: Weighed,
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
                self.keys.dead_shed,
                self.keys.stream(stream),
            ],
            args=[
                letter.id,
                letter.weight,
                letter.weight_without_bytes,
                mark.entries,
                mark.bytes,
                encoded,
                weight,
                in_flight,
            ],
        )
        return ANSWERS[code]

    async def drop(self, letter: Weighed) -> Answer:
        """Delete a dead letter with its payloads; LOST where there is no such letter."""
        code = await self._drop(
            keys=[*self._dead, *map(self.keys.payload, letter.payload_ids)],
            args=[
                letter.id,
                letter.weight,
                letter.weight_without_bytes,
                len(letter.payload_ids),
            ],
        )
        return ANSWERS[code]

    async def shed(
        self, letters: Sequence[Weighed], bounds: HighWaterMark, *, takes_letters: bool
    ) -> tuple[int, int]:
        """Take these letters, or only their payloads, until the bounds hold.

        Returns:
            How many were looked at before the bounds held, and how many of them lost something.
        """
        keys: list[str] = [*self._dead]
        args: list[Value] = [bounds.entries, bounds.bytes, int(takes_letters), len(letters)]
        for one in letters:
            keys += map(self.keys.payload, one.payload_ids)
            args += (one.id, one.weight, one.weight_without_bytes, len(one.payload_ids))
        looked_at, lost = await self._shed(keys=keys, args=args)
        return looked_at, lost

    async def weigh(self) -> int:
        """Count anew what all dead letters weigh, in bytes."""
        weight: int = await self._weigh(keys=self._dead, args=[ENTRY_OVERHEAD_BYTES])
        return weight

    @property
    def _dead(self) -> tuple[str, str, str]:
        return self.keys.bytes, self.keys.stream(DEAD), self.keys.dead_shed
