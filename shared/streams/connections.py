"""Connections as the suite needs them, laid over those of redis-py.

They pack quickly, never lose a cancellation, are dropped where they lead to what is no primary any
more, and are found dead within seconds, also while nobody uses them.
"""

import asyncio
import socket
from typing import Any

import hiredis
from redis.asyncio import Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.connection import AbstractConnection
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ResponseError

from shared.streams.refusals import Demoted, describe, is_demoted

CONNECT_SECONDS = 5
IDLE_SECONDS, PROBE_SECONDS, PROBES = 5, 2, 3
"""Probes begin on a connection that is idle this long; after the last it is known to be dead."""

UNACKNOWLEDGED_SECONDS = 10
"""What was sent and is not even acknowledged by then will never be answered."""


def _keepalive() -> dict[int, int]:
    """Options of a TCP socket, as far as this system has them."""
    wanted = {
        "TCP_KEEPIDLE": IDLE_SECONDS,
        "TCP_KEEPINTVL": PROBE_SECONDS,
        "TCP_KEEPCNT": PROBES,
        "TCP_USER_TIMEOUT": UNACKNOWLEDGED_SECONDS * 1000,
    }
    return {getattr(socket, name): value for name, value in wanted.items() if hasattr(socket, name)}


KEEPALIVE: dict[str, Any] = {  # Any: options differ in type
    "socket_keepalive": True,
    "socket_keepalive_options": _keepalive(),
}
"""For TCP; a Unix socket needs no probes to see that its other end is gone, and takes none."""


class Suited:
    """Laid over a kind of connection of redis-py."""

    def pack_command(self, *args: Any) -> list[bytes]:  # Any: whatever redis-py takes
        """The command as bytes. A name of two words, such as XGROUP CREATE, is two arguments.

        redis-py packs in Python on asyncio, which for a script call of a thousand arguments costs
        more than all else that its caller does.
        """
        name, *rest = args
        words = name.encode().split() if isinstance(name, str) else name.split()
        return [hiredis.pack_command((*words, *rest))]

    async def send_packed_command(self, *args: Any, **options: Any) -> None:  # Any: as its parent
        """Send; a cancellation that comes meanwhile is raised, which `wait_for` of Python 3.11,
        by which redis-py sends, forgets when the sending has just ended.

        Raises:
            redis.ConnectionError: the connection is no more.
        """
        task = asyncio.current_task()
        before = task.cancelling() if task else 0
        try:
            # redis-py gives these methods no types.
            await super().send_packed_command(*args, **options)  # type: ignore[misc]
        except RuntimeError as error:  # so uvloop refuses what is written after a reset
            await self.disconnect(nowait=True)  # type: ignore[attr-defined]
            raise RedisConnectionError("the connection was closed as it was used") from error
        if task is not None and task.cancelling() > before:
            await self.disconnect(nowait=True)  # type: ignore[attr-defined]  # its reply is unread
            raise asyncio.CancelledError

    async def read_response(self, *args: Any, **options: Any) -> Any:  # Any: as its parent
        """The reply.

        Raises:
            Demoted: this is no primary; the connection is dropped, and the next one may find it.
        """
        try:
            return await super().read_response(*args, **options)  # type: ignore[misc]
        except ResponseError as error:
            if not is_demoted(error):
                raise
            await self.disconnect(nowait=True)  # type: ignore[attr-defined]
            raise Demoted(describe(error)) from None


class Tcp(Suited, Connection):
    """redis://"""


class Tls(Suited, SSLConnection):
    """rediss://"""


class Local(Suited, UnixDomainSocketConnection):
    """unix://"""


SUITED: dict[type[AbstractConnection], type[AbstractConnection]] = {
    Connection: Tcp,
    SSLConnection: Tls,
    UnixDomainSocketConnection: Local,
}
"""What takes the place of each kind of connection of redis-py."""
