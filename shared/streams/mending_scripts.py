"""The Lua scripts of mending as typed calls: what strangers left in Redis, found and put right."""

from collections.abc import Mapping
from typing import NamedTuple

from redis.asyncio import Redis

from shared.streams.keys import Keys
from shared.streams.replies import understood
from shared.streams.scripts import loader


class Standing(NamedTuple):
    """How a stream stands: its length, how many entries wait outside of it, the milliseconds in the
    id of its first entry (-1: it has none), and whether its group had to be set back."""

    length: int
    later: int
    first_ms: int
    set_back: bool


class MendingScripts:
    """The scripts on one server, for the streams below one prefix."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        self.keys = keys
        load = loader(client)
        self._mend = load("mend")
        self._mend_waiting = load("mend_waiting")
        self._set_back = load("set_back")
        self._watch = load("watch")

    async def mend(self, kinds: Mapping[str, str]) -> list[str]:
        """Delete those of these keys that are not of the type beside them; which were."""
        names = list(kinds)
        deleted = await self._mend(keys=names, args=list(kinds.values()))
        with understood():
            return [names[place - 1] for place in deleted]

    async def mend_waiting(self, stream: str) -> int:
        """Bring what is counted of a stream's waiting sets into line with what waits; how many
        entries come back by that which never would have."""
        found: int = await self._mend_waiting(
            keys=[
                self.keys.due(stream),
                self.keys.waiting(stream),
                self.keys.waiting_of_key(stream),
                self.keys.waiting_reasons(stream),
            ],
            args=[],
        )
        return found

    async def set_back(
        self, stream: str, group: str, ahead_ms: int, count: int, *, tries: bool
    ) -> tuple[bool, int, int]:
        """Give the entries of a stream ids of now, where they are further ahead than that; `tries`:
        or where nothing can be added. Whether it was so, how many came back into the stream by
        this call, and how many are to follow."""
        begun, back, left = await self._set_back(
            keys=[
                self.keys.stream(stream),
                self.keys.bytes,
                self.keys.history(stream),
                self.keys.aside(stream),
                self.keys.dead_shed,
            ],
            args=[group, ahead_ms, int(tries), count],
        )
        return bool(begun), back, left

    async def watch(self, stream: str, group: str) -> Standing:
        """How a stream stands; its group is set back to entries that it was set past."""
        length, later, first_ms, set_back = await self._watch(
            keys=[self.keys.stream(stream), self.keys.due(stream)], args=[group]
        )
        return Standing(length, later, first_ms, bool(set_back))
