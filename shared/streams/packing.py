"""Commands packed by hiredis: redis-py packs in Python on asyncio, which for a script call of a
thousand arguments costs more than everything else that its caller does."""

from typing import Any

import hiredis
from redis.asyncio import Redis


class _Packing:
    """Laid over the connection class that fits the URL."""

    def pack_command(self, *args: Any) -> list[bytes]:  # Any: whatever redis-py takes
        """The command as bytes. A name of two words, such as XGROUP CREATE, is two arguments."""
        name, *rest = args
        words = name.encode().split() if isinstance(name, str) else name.split()
        return [hiredis.pack_command((*words, *rest))]


def pack_quickly(client: Redis) -> None:
    """Make the connections that this client opens from now on pack with hiredis."""
    pool = client.connection_pool
    kind = pool.connection_class
    pool.connection_class = type(f"Packing{kind.__name__}", (_Packing, kind), {})
