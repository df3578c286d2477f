"""A primary, a replica and three Sentinels on loopback, which a test may kill and start again."""

import subprocess
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import redis

from tests.support.servers import RedisServer, free_port, installed_redis

NAME = "faces"
"""What the Sentinels call the primary."""

DOWN_AFTER_MS = 1000
FAILOVER_MS = 4000
"""A failover that came to nothing is begun again after twice this long."""

LIMIT_SECONDS = 90.0


class SentinelServer:
    """One Sentinel, which watches one primary."""

    def __init__(self, folder: Path, binary: str) -> None:
        self.port = free_port()
        self._folder = folder
        self._binary = binary
        self._process: subprocess.Popen[bytes] | None = None

    def watch(self, primary: int, quorum: int) -> None:
        """Write down where the primary is, before the first start."""
        self._folder.mkdir(parents=True)
        (self._folder / "sentinel.conf").write_text(
            f"port {self.port}\nbind 127.0.0.1\ndir {self._folder}\nlogfile sentinel.log\n"
            f"sentinel monitor {NAME} 127.0.0.1 {primary} {quorum}\n"
            f"sentinel down-after-milliseconds {NAME} {DOWN_AFTER_MS}\n"
            f"sentinel failover-timeout {NAME} {FAILOVER_MS}\n"
        )

    def start(self) -> None:
        """Start it; what it knew when it was killed it reads from its file."""
        self._process = subprocess.Popen(
            [self._binary, str(self._folder / "sentinel.conf"), "--sentinel"],
            stdout=subprocess.DEVNULL,
        )

    def kill(self) -> None:
        """SIGKILL."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def state(self) -> dict[str, object]:
        """What it says of the primary; empty where it does not answer."""
        with redis.Redis(port=self.port, socket_timeout=2, decode_responses=True) as client:
            try:
                flat = client.execute_command("SENTINEL", "MASTER", NAME)
            except redis.RedisError:
                return {}
        return flat if isinstance(flat, dict) else dict(zip(flat[::2], flat[1::2], strict=True))


class Replicated:
    """Two servers, one of them the primary, and their Sentinels.

    Everything in it blocks: call it in a thread where an event loop runs.
    """

    def __init__(self, folder: Path, *options: str, binary: str | None = None) -> None:
        """`options` are given to both servers, such as `--min-replicas-to-write 1`."""
        program = binary or installed_redis()
        self.servers = [
            RedisServer(folder / f"server-{n}", *options, binary=program) for n in range(2)
        ]
        self.sentinels = [
            SentinelServer(folder / f"sentinel-{n}", self.servers[0].binary) for n in range(3)
        ]
        self.ports = [server.port for server in self.servers]
        """Where others reach the servers: set this before the start, where proxies stand before
        them."""

    @property
    def url(self) -> str:
        """What FACES_REDIS_URL is set to."""
        hosts = ",".join(f"127.0.0.1:{one.port}" for one in self.sentinels)
        return f"redis+sentinel://{hosts}/{NAME}/0"

    def start(self) -> None:
        """Start all, and wait until a failover is possible."""
        for server, port in zip(self.servers, self.ports, strict=True):
            announced = ("--replica-announce-ip", "127.0.0.1", "--replica-announce-port", str(port))
            server.arguments = (*server.arguments, *announced)
            server.start()
        self._follow(self.servers[1], self.servers[0])
        for one in self.sentinels:
            one.watch(self.ports[0], quorum=2)
            one.start()
        self.wait_until_whole()

    def stop(self) -> None:
        """Kill all that run."""
        for sentinel in self.sentinels:
            sentinel.kill()
        for server in self.servers:
            server.kill()

    @property
    def primary(self) -> RedisServer | None:
        """The server that most Sentinels name and that is a primary; None during a failover."""
        named = [str(one.state().get("port")) for one in self.sentinels]
        for server, port in zip(self.servers, self.ports, strict=True):
            if named.count(str(port)) > len(named) // 2 and _role(server) == "master":
                return server
        return None

    def kill_primary(self) -> RedisServer:
        """SIGKILL the primary; returns it, to be started again."""
        killed = self.primary
        assert killed is not None, "there is a primary"
        killed.kill()
        return killed

    def wait_for_failover(self, killed: RedisServer) -> RedisServer:
        """Wait until the other server is the primary; returns that."""
        _wait(lambda: self.primary not in (None, killed), "another primary")
        primary = self.primary
        assert primary is not None
        return primary

    def rejoin(self, server: RedisServer) -> None:
        """Start a killed server as a replica of the primary, and wait until it is in step."""
        primary = self.primary
        assert primary is not None, "there is a primary"
        server.start()
        self._follow(server, primary)
        self.wait_until_whole()

    def wait_until_whole(self) -> None:
        """Wait until the replica is in step, and every Sentinel knows it and the others."""
        _wait(self._is_whole, "a primary, a replica in step, and three Sentinels that know them")

    def _is_whole(self) -> bool:
        primary = self.primary
        if primary is None:
            return False
        told = _info(primary)
        if told.get("connected_slaves") != 1:
            return False
        slave = told.get("slave0")
        return (
            isinstance(slave, dict)
            and slave.get("state") == "online"
            and all(
                state.get("flags") == "master"
                and int(str(state.get("num-slaves"))) >= 1
                and int(str(state.get("num-other-sentinels"))) == len(self.sentinels) - 1
                for state in (one.state() for one in self.sentinels)
            )
        )

    def _follow(self, replica: RedisServer, primary: RedisServer) -> None:
        port = self.ports[self.servers.index(primary)]
        with redis.Redis(port=replica.port) as client:
            client.replicaof("127.0.0.1", str(port))


def _info(server: RedisServer) -> dict[str, object]:
    with (
        redis.Redis(port=server.port, socket_timeout=2) as client,
        suppress(redis.RedisError),
    ):
        return dict(client.info("replication"))
    return {}


def _role(server: RedisServer) -> object:
    return _info(server).get("role")


def _wait(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + LIMIT_SECONDS
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"after {LIMIT_SECONDS} s still not: {what}")
        time.sleep(0.1)
