"""Where deliveries come from: new entries, and entries whose consumer fell silent."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import cast

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError, ResponseError

from shared.streams.client import BLOCK_MS
from shared.streams.entries import Delivery, Membership, delivery
from shared.streams.refusals import Misplaced, is_misplaced
from shared.streams.replies import understood
from shared.streams.reply_bounds import ReplyTooLarge
from shared.streams.scripts import Scripts

CLAIM_AT_MOST = 100
"""Entries reclaimed by one script; keeps it under a millisecond or two."""

SIGN_OF_LIFE_SECONDS = 5.0
"""How often a consumer lets the server see that it lives."""

PAST_ALL = "18446744073709551615-18446744073709551614"
"""Only the last id that there is comes after it; after that one Redis would begin anew."""

MOST_READ = 1 << 20
"""More entries than any read asks for."""

READ_BYTES = 32 << 20
"""Longest reply to a read. What a longer one brought is claimed later, bounded by the script."""

log = structlog.get_logger()


def is_gone(error: RedisError) -> bool:
    """Whether a command was refused because its group is gone, as after Redis was emptied."""
    return isinstance(error, ResponseError) and "NOGROUP" in str(error)


@dataclass
class Intake:
    """Reads new entries and reclaims abandoned ones for one consumer of one group."""

    client: Redis
    scripts: Scripts
    membership: Membership
    lease_ms: int
    _cursor: bytes = field(default=b"0-0", init=False)
    _connection: int | None = field(default=None, init=False)
    _at_most: int = field(default=MOST_READ, init=False)

    async def join(self) -> None:
        """Create the group, and the stream with it, at its very beginning; once is enough.

        Starting at `0` and deleting what is finished, a group that was lost and is made again
        delivers exactly the unfinished work.
        """
        with self._names_misplaced():
            if await self.scripts.join(self.membership):
                log.info("group created", stream=self.membership.stream)

    async def read(self, count: int) -> list[Delivery]:
        """Up to `count` entries that nobody has had yet; waits up to BLOCK_MS for the first.

        Never cancel this: entries that the server has already delivered would be seen by nobody
        until their lease ends.
        """
        try:
            if self._connection is None:
                self._connection = await self.client.client_id()
            with self._names_misplaced():
                answer = await self.client.xreadgroup(
                    self.membership.group,
                    self.membership.consumer,
                    {self.membership.stream: ">"},
                    count=min(count, self._at_most),
                    block=BLOCK_MS,
                )
        except ReplyTooLarge:
            # Its entries are this consumer's now, and unread; they are claimed after their lease.
            self._connection = None
            self._at_most = max(1, min(count, self._at_most) // 4)
            log.warning("a read brought too many bytes; reading fewer entries at a time")
            return []
        except RedisError as error:
            self._connection = None  # the next one has another number
            if not is_gone(error):
                raise
            log.warning("group is gone (was Redis emptied?); making it again")
            await self.join()
            return []
        self._at_most = min(2 * self._at_most, MOST_READ)
        # redis-py types the answer for all protocols at once; with protocol 2 it is this.
        streams = cast("list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]", answer or [])
        with understood():
            return [delivery(*entry) for _, entries in streams for entry in entries]

    @contextmanager
    def _names_misplaced(self) -> Iterator[None]:
        """A stream's key that holds something else is named: only a person knows whose that is."""
        try:
            yield
        except ResponseError as error:
            if is_misplaced(error):
                raise Misplaced(self.membership.stream) from None
            raise

    async def show_life(self) -> None:
        """Reset this consumer's idle time, and make it anew where it was taken off the group.

        Up to Redis 7.0 a read that brings nothing leaves the idle time alone, so that a service
        without work would look dead. A read of its own history from past its end does not: it
        returns nothing and counts no delivery (tried on 7.0, 7.2 and Valkey 9).
        """
        await self.scripts.client.xreadgroup(
            self.membership.group,
            self.membership.consumer,
            {self.membership.stream: PAST_ALL},
            count=1,
        )

    async def stop_waiting(self) -> None:
        """End a read that is blocked, from outside it: unlike a cancellation this is safe."""
        if self._connection is not None:
            with suppress(RedisError):  # it ends by itself after BLOCK_MS
                await self.scripts.client.client_unblock(self._connection)

    async def reclaim(self, count: int) -> list[Delivery]:
        """Up to `count` entries whose lease has ended, from where the last scan stopped.

        XAUTOCLAIM looks at ten times COUNT entries at most: a scan that always began at the
        front would never see past many live leases.
        """
        try:
            self._cursor, claimed = await self.scripts.claim(
                self.membership, self.lease_ms, self._cursor, min(count, CLAIM_AT_MOST)
            )
        except RedisError as error:
            if not is_gone(error):
                raise
            await self.join()
            return []
        return claimed

    @property
    def scanned_all(self) -> bool:
        """Whether the last reclaim reached the end of the pending list."""
        return self._cursor == b"0-0"
