"""Writers under test, with payloads in memory in place of Redis."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from services.writer.batch import Result
from services.writer.service import Writer
from shared.catalog import Catalog
from shared.messages import Payload
from shared.stores.objects import Objects
from shared.streams.stage import Work


class Crash(BaseException):
    """The process dies here."""


class PayloadsInMemory:
    """Payloads as Redis would hold them, until the acknowledgement."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}
        self.most_at_once = 0

    def add(self, content: bytes) -> Payload:
        payload = Payload.of(content)
        self.contents[payload.id] = content
        return payload

    async def get_many(self, payloads: Sequence[Payload]) -> list[bytes | None]:
        self.most_at_once = max(self.most_at_once, sum(payload.size for payload in payloads))
        return [self.contents.get(payload.id) for payload in payloads]


@pytest.fixture
def payloads() -> PayloadsInMemory:
    """Payloads of one test."""
    return PayloadsInMemory()


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    """An empty object store in a folder."""
    return Objects.open(f"file://{tmp_path}/objects")


@pytest.fixture
def writer(catalog: Catalog, objects: Objects, payloads: PayloadsInMemory) -> Writer:
    """A writer on an empty catalog."""
    return Writer.of(payloads, catalog, objects)


def works(messages: Sequence[Result]) -> list[Work[Result]]:
    """The messages as they are delivered the first time."""
    return [Work(message, 1, "writer-1") for message in messages]


async def keys_of(objects: Objects) -> set[str]:
    """The keys of all objects in a store."""
    return {found.key async for found in objects.list()}
