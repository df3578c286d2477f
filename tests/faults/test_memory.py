"""What strangers put into Redis does not cost a service more memory than its container has."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from shared.messages import Message, Payload, Status, new_token
from shared.streams.keys import IMAGES, RESULTS, Keys
from tests.support.processes import FACE, Processes, processes
from tests.support.stages import image, result_of
from tests.support.waiting import wait_until

__all__ = ["processes"]

MEBIBYTE = 1 << 20
KEYS = Keys("faces")

ALLOWED = {"writer": 768 * MEBIBYTE, "detector": 512 * MEBIBYTE}
"""As k8s/base/writer.yaml says, and what k8s/base/detector.yaml leaves to the parent of slots."""

STREAM = {"writer": RESULTS, "detector": IMAGES}


@pytest.fixture
def client(redis_url: str) -> Iterator["redis.Redis"]:
    with redis.Redis.from_url(redis_url) as opened:
        yield opened


def naming(service: str, payload: Payload) -> Message:
    """A message for a service that names a payload."""
    if service == "detector":
        return image(payload=payload)
    return result_of(image(), status=Status.FACES, faces=(FACE,), payload=payload)


def add(client: "redis.Redis", message: Message) -> None:
    """As a stranger adds it: nothing else is asked."""
    client.xadd(KEYS.stream(message.stream), {"m": message.encode(), "n": 1})


def peak_bytes(pid: int) -> int:
    told = Path(f"/proc/{pid}/status").read_text()
    return int(told.partition("VmHWM:")[2].split()[0]) * 1024


async def peak_of(processes: Processes, client: "redis.Redis", service: str) -> int:
    """The most memory that a service had until its stream was empty."""
    process = processes.start(f"services.{service}")
    stream = KEYS.stream(STREAM[service])
    await wait_until(lambda: client.xlen(stream) == 0 or process.poll() is not None, "all is read")
    assert process.poll() is None, processes.printed(process)
    return peak_bytes(process.pid)


@pytest.mark.parametrize("service", ALLOWED)
@pytest.mark.parametrize(
    ("size", "claimed"), [(200_000_000, 10), (32 * MEBIBYTE, 32 * MEBIBYTE)], ids=["lie", "truth"]
)
async def test_a_large_payload_that_many_messages_name(
    service: str, size: int, claimed: int, processes: Processes, client: "redis.Redis"
) -> None:
    payload = Payload(id=new_token(), size=claimed)
    client.set(KEYS.payload(payload.id), b"x" * size)
    for _ in range(12):
        add(client, naming(service, payload))
    assert await peak_of(processes, client, service) < ALLOWED[service]
