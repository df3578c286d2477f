"""Servers and sample data for the tests. What a test needs and cannot have, it says."""

import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.servers import SHARED, RedisServer, absent, installed_redis

MARKS = {
    "sample_data": pytest.mark.shared,
    "sample_models": pytest.mark.shared,
    "empty_postgres": pytest.mark.postgres,
}
"""What a test that asks for a fixture needs; so that `-m "not shared"` leaves it out."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark every test by the fixtures that it asks for."""
    for item in items:
        if isinstance(item, pytest.Function):
            for name in MARKS.keys() & set(item.fixturenames):
                item.add_marker(MARKS[name])


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
    server = RedisServer(tmp_path / "own-server", "--appendonly", "yes", binary=installed_redis())
    server.start()
    yield server
    server.kill()


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
