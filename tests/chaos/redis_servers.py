"""The Redis of a chaos run, behind proxies: one server, or two with three Sentinels."""

import asyncio
from contextlib import AsyncExitStack, suppress
from pathlib import Path

from redis.asyncio import Redis
from redis.exceptions import RedisError

from tests.support.proxy import Proxy
from tests.support.sentinel import NAME, SentinelServer
from tests.support.servers import RedisServer, installed_redis
from tests.support.waiting import wait_until

SENTINELS = 3
DOWN_AFTER_MS = 5000
"""Longer than a restart takes, and than Redis answers PING with MISCONF or BUSY: on a busy machine
these must not become failovers, after which the old primary, that is well again, takes writes for
some seconds more."""

QUORUM = 2
SYNC_SECONDS = 60.0


class RedisServers:
    """The servers; clients reach each of them through its proxy only, as do replica and Sentinels.

    The second server and the Sentinels are there only if `replicated`.
    """

    def __init__(self, folder: Path, *, replicated: bool) -> None:
        self.replicated = replicated
        self._folder = folder
        self._opened = AsyncExitStack()
        self.servers = [
            RedisServer(folder / name, "--appendonly", "yes", binary=installed_redis())
            for name in (("a", "b") if replicated else ("a",))
        ]
        self.proxies = [Proxy(server.port) for server in self.servers]
        self.sentinels: list[SentinelServer] = []

    @staticmethod
    def can_be_replicated() -> bool:
        """Whether this machine has a server that can be a Sentinel."""
        return installed_redis() is not None

    @property
    def url(self) -> str:
        """What services are given."""
        if not self.replicated:
            return self.proxies[0].url
        hosts = ",".join(f"127.0.0.1:{sentinel.port}" for sentinel in self.sentinels)
        return f"redis+sentinel://{hosts}/{NAME}/0"

    async def start(self) -> None:
        """Start all of them; the replica has everything, and each Sentinel knows the others."""
        for server, proxy in zip(self.servers, self.proxies, strict=True):
            await self._opened.enter_async_context(proxy)
            if self.replicated:
                server.arguments += (
                    *("--replica-announce-ip", "127.0.0.1"),
                    *("--replica-announce-port", str(proxy.port)),
                    *("--repl-diskless-sync-delay", "0"),
                )
            server.start()
        if not self.replicated:
            return
        await self.follow(1, 0)
        for number in range(SENTINELS):
            folder, primary = self._folder / f"sentinel-{number}", self.proxies[0].port
            sentinel = SentinelServer(folder, self.servers[0].binary)
            sentinel.watch(primary, QUORUM)
            sentinel.start()
            self.sentinels.append(sentinel)
        await wait_until(self._all_know_each_other, "the Sentinels know each other", SYNC_SECONDS)
        for sentinel in self.sentinels:
            client = Redis(port=sentinel.port, socket_timeout=5)
            await client.sentinel_set(NAME, "down-after-milliseconds", DOWN_AFTER_MS)
            await client.aclose()

    async def stop(self) -> None:
        """End all of them."""
        for sentinel in self.sentinels:
            sentinel.kill()
        for server in self.servers:
            server.kill()
        await self._opened.aclose()

    def client(self, number: int) -> Redis:
        """A client of one server, past its proxy."""
        return Redis(port=self.servers[number].port, socket_timeout=10)

    async def primary(self) -> int:
        """Which server the Sentinels call the primary now."""
        if not self.replicated:
            return 0
        ports = [str(proxy.port) for proxy in self.proxies]
        named = [state.get("port") for state in await self._states()]
        return ports.index(str(max(named, key=named.count)))

    async def failovers(self) -> int:
        """How many there were, by the Sentinels' count."""
        states = await self._states() if self.replicated else []
        return max((int(str(state.get("config-epoch", 0))) for state in states), default=0)

    async def follow(self, replica: int, primary: int) -> None:
        """Make one server the replica of the other, and wait until it has everything."""
        client = self.client(replica)
        try:
            await client.replicaof("127.0.0.1", self.proxies[primary].port)
        finally:
            await client.aclose()
        await self.in_step(replica)

    async def make_whole(self) -> None:
        """Start again what has died, as the replica of the primary."""
        primary = await self.primary()
        for number, server in enumerate(self.servers):
            if server.process is None:
                await asyncio.to_thread(server.start)
                await self.follow(number, primary)

    async def in_step(self, replica: int) -> None:
        """Wait until a replica follows."""
        client = self.client(replica)

        async def follows() -> bool:
            with suppress(RedisError):
                told = await client.info("replication")
                return bool(told.get("master_link_status") == "up")
            return False

        try:
            await wait_until(follows, "the replica is in step", SYNC_SECONDS)
        finally:
            await client.aclose()

    async def _all_know_each_other(self) -> bool:
        return all(
            int(str(state.get("num-slaves", 0))) >= 1
            and int(str(state.get("num-other-sentinels", 0))) == SENTINELS - 1
            for state in await self._states()
        )

    async def _states(self) -> list[dict[str, object]]:
        """What the Sentinels say of the primary."""
        return await asyncio.gather(*(asyncio.to_thread(one.state) for one in self.sentinels))
