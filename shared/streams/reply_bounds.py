"""A bound on the bytes of one reply, for connections over which strangers' entries come.

A read of a stream brings entries whole, however large somebody has made them: 512 MB in one field.
A reply that grows beyond its bound is left, and its connection dropped.
"""

from typing import Any

from redis._parsers.hiredis import _AsyncHiredisParser
from redis.exceptions import ConnectionError as RedisConnectionError


class ReplyTooLarge(RedisConnectionError):
    """A reply was longer than this connection takes."""


def bounded_parser(limit: int) -> type[_AsyncHiredisParser]:
    """A parser of redis-py that takes replies of up to about `limit` bytes."""

    class Bounded(_AsyncHiredisParser):
        """One connection's."""

        _received = 0

        async def read_response(self, *args: Any, **options: Any) -> Any:  # Any: as its parent
            """One reply.

            Raises:
                ReplyTooLarge: it is longer; the connection is of no use any more.
            """
            self._received = 0
            return await super().read_response(*args, **options)

        async def read_from_socket(self) -> bool:
            """Some more of it, while it is not too long."""
            # redis-py sets both when it connects, and gives them no types.
            some = await self._stream.read(self._read_size)  # type: ignore[union-attr]
            if not some:
                raise RedisConnectionError("the connection was closed by the server")
            self._received += len(some)
            if self._received > limit:
                raise ReplyTooLarge(f"a reply of more than {limit} bytes")
            self._reader.feed(some)  # type: ignore[attr-defined]
            return True

    return Bounded
