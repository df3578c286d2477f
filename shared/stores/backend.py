"""What a store of objects can do, and buckets (and memory) behind it; errors are as they come."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import obstore
from obstore.store import MemoryStore, ObjectStore

from shared.picture_keys import CONTENT_TYPES


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing shows it; `modified` by the store's clock, aware."""

    key: str
    size: int
    modified: datetime


class Backend(Protocol):
    """One store. What is not there raises FileNotFoundError, where the store tells."""

    async def put(self, key: str, content: bytes) -> None:
        """Write an object whole, or not at all."""

    async def get(self, key: str) -> bytes:
        """Its content."""

    async def head(self, key: str) -> None:
        """See that it is there."""

    async def delete(self, key: str) -> None:
        """Delete it."""

    def list(self, prefix: str) -> AsyncIterator[list[StoredObject]]:
        """What is below a folder of the store, some at a time."""


class Bucket:
    """A bucket, or a store in this process' memory, by obstore."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store
        self._types = not isinstance(store, MemoryStore)

    async def put(self, key: str, content: bytes) -> None:
        """In one request: of one that is cut off nothing stays. Browsers are told what it is."""
        kind = CONTENT_TYPES.get(key.rpartition(".")[2]) if self._types else None
        told = {"Content-Type": kind} if kind else None
        await obstore.put_async(self._store, key, content, attributes=told, use_multipart=False)

    async def get(self, key: str) -> bytes:
        """Its content."""
        answer = await obstore.get_async(self._store, key)
        return bytes(await answer.bytes_async())

    async def head(self, key: str) -> None:
        """See that it is there."""
        await obstore.head_async(self._store, key)

    async def delete(self, key: str) -> None:
        """Delete it."""
        await obstore.delete_async(self._store, key)

    async def list(self, prefix: str) -> AsyncIterator[list[StoredObject]]:
        """What is below a folder of the store, some at a time."""
        async for chunk in obstore.list(self._store, prefix or None):
            yield [StoredObject(one["path"], one["size"], one["last_modified"]) for one in chunk]
