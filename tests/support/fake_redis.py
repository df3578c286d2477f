"""A Redis inside this process, for tests of code that is not about pending entries.

It runs the real Lua scripts. What a consumer group does after a lease, a kill or a restart is shown
on real servers only.
"""

from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
from fakeredis import FakeAsyncRedis, FakeServer
from redis.exceptions import ConnectionError as RedisConnectionError


class FakeRedis(FakeAsyncRedis):
    """A client of a fake server, which it can lose, as it can lose single replies."""

    def __init__(self) -> None:
        self.server = FakeServer()
        self.sent: Counter[str] = Counter()
        """Commands so far, by their names."""
        self.replies_to_lose: Counter[str] = Counter()
        """Of these commands so many replies are lost, after the server did what they say."""
        super().__init__(server=self.server)

    async def execute_command(self, *args: Any, **options: Any) -> Any:  # Any: as the base class
        name = str(args[0])
        if name == "INFO":  # the fake server does not know it
            return {"maxmemory": 0}
        self.sent[name] += 1
        execute = super().execute_command  # redis-py gives it no types
        answer = await execute(*args, **options)  # type: ignore[no-untyped-call]
        if self.replies_to_lose[name]:
            self.replies_to_lose[name] -= 1
            raise RedisConnectionError("Connection closed by server.")
        return answer


@pytest.fixture
async def fake_redis() -> AsyncIterator[FakeRedis]:
    """An empty fake server."""
    async with FakeRedis() as client:
        yield client
