"""What strangers leave in Redis, mended by whoever works there: keys of the wrong type, ids that
leave none for others, entries that wait and would never come back.

Whoever may write to Redis may delete, delay and forge work. None of that may stop the suite for
good, or lose what was left untouched.
"""

import structlog
from redis.asyncio import Redis

from shared.metrics import MENDED
from shared.streams.keys import Keys
from shared.streams.mending_scripts import MendingScripts, Standing
from shared.streams.topology import STREAMS, StreamKind

AHEAD_MS = 60_000
"""How far ahead of the server's clock the id of an entry may be. One that is further was named by
hand, or before the clock was set back; there it costs no more than some work that is done twice."""

BACK_AT_ONCE = 200
"""Entries that one script brings back: a few milliseconds of Redis."""

log = structlog.get_logger()


class Mending:
    """Mends the keys of one suite; any number of processes may do so at once. All methods raise
    RedisError as the server does."""

    def __init__(self, client: Redis, keys: Keys, *, own: str | None = None) -> None:
        """`own`: only what has to do with this stream, and the ids of those that come after it, as
        a stage does: as its user of Redis it may see no others."""
        self._scripts = MendingScripts(client, keys)
        names = list(STREAMS)
        self._own = names if own is None else [own]
        self._streams = [STREAMS[name] for name in names[names.index(self._own[0]) :]]
        self._kinds = keys.bookkeeping(self._own)
        self._kinds |= {keys.aside(kind.name): "list" for kind in self._streams}

    async def all(self) -> None:
        """Everything that is found without a sign of trouble."""
        await self.types()
        await self.ids()
        for name in self._own:
            if STREAMS[name].service and (found := await self._scripts.mend_waiting(name)):
                MENDED.labels("waiting").inc(found)
                log.warning("entries would have waited for ever", stream=name, entries=found)

    async def group(self, stream: str, group: str) -> Standing:
        """How a stream stands, whose group is set back where it was set past entries."""
        standing = await self._scripts.watch(stream, group)
        if standing.set_back:
            MENDED.labels("group").inc()
            log.warning("the group was set past entries; they are read", stream=stream)
        return standing

    async def types(self) -> list[str]:
        """Delete what is of another type in the place of our bookkeeping; which keys.

        Keys that should be streams are left: what else is there may be somebody's, and readiness
        says so (`shared.streams.stats.misplaced`).
        """
        deleted = await self._scripts.mend(self._kinds)
        if deleted:
            MENDED.labels("key").inc(len(deleted))
            log.warning("Redis keys of the suite held something else; deleted", keys=deleted)
        return deleted

    async def ids(self, *, tries: bool = False) -> None:
        """Set back the ids of streams; `tries`: a stream is known to take no more entries."""
        for kind in self._streams:
            await self._ids_of(kind, tries=tries)

    async def _ids_of(self, kind: StreamKind, *, tries: bool) -> None:
        while True:
            begun, back, left = await self._scripts.set_back(
                kind.name, kind.service, AHEAD_MS, BACK_AT_ONCE, tries=tries
            )
            if begun:
                MENDED.labels("ids").inc()
                log.warning(
                    "entries had ids far ahead of the clock; all get new ones",
                    stream=kind.name,
                    entries=back + left,
                )
            if not left:
                return
