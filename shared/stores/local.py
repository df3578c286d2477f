"""A store in a folder that others may write into: no link below it is followed.

obstore's own store of files names each object by its whole path, and follows whatever links are on
the way. Errors are the system's, as `shared.stores.opening` explains them.
"""

import asyncio
import errno
import os
import stat
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TypeVar

from shared.folders.folder import Folder
from shared.folders.new_files import UNFINISHED
from shared.stores.backend import StoredObject
from shared.stores.patience import in_thread
from shared.stores.threads import KEPT

LISTED_AT_ONCE = 500

CALLS_AT_ONCE = KEPT
"""Each step of a call waits for the interpreter: beside a loop that is busy with other work, few
calls at once write little; beside an idle one, many cost a little. 16 puts of 60 kB at once on two
cores, where others ran too; puts a second of 3 calls, of 16, and of obstore's store, medians of
three to five runs in turn: busy, in memory 440, 1,200, 1,500, to a disk 280, 410, 510; idle, in
memory 4,100, 3,400, 4,300, to a disk 720, 650, 1,000."""

T = TypeVar("T")


class LocalStore:
    """Objects as files below a folder, which is opened for each: a volume may be mounted there
    anew, and is not kept busy."""

    def __init__(self, folder: Path) -> None:
        self._folder = Path(os.path.realpath(folder))  # which may be a link; but not from now on
        self._turn = asyncio.Semaphore(CALLS_AT_ONCE)

    async def put(self, key: str, content: bytes) -> None:
        """Write an object whole, or not at all."""
        await self._call(partial(self._put, key, content))

    async def get(self, key: str) -> bytes:
        """Its content."""
        return await self._call(partial(self._get, key))

    async def head(self, key: str) -> None:
        """See that it is there."""
        await self._call(partial(self._head, key))

    async def delete(self, key: str) -> None:
        """Delete it."""
        await self._call(partial(self._delete, key))

    async def list(self, prefix: str) -> AsyncIterator[list[StoredObject]]:
        """What is below a folder of the store, some at a time."""
        root = await in_thread(self._open)
        files = root.files(prefix)
        try:
            while page := await in_thread(lambda: list(islice(files, LISTED_AT_ONCE))):
                yield [_found(name, status) for name, status in page if _is_object(name)]
        finally:
            root.close()

    async def _call(self, call: Callable[[], T]) -> T:
        """Of a disk that hangs, whoever waits loses patience, and gives up its turn."""
        async with self._turn:
            return await in_thread(call)

    def _open(self) -> Folder:
        return Folder.open(self._folder, link=False)

    def _put(self, key: str, content: bytes) -> None:
        with self._open() as folder:
            folder.write(key, content)

    def _get(self, key: str) -> bytes:
        with self._open() as folder:
            return folder.read(key)

    def _head(self, key: str) -> None:
        with self._open() as folder:
            status = folder.status(key)
        if status is None or not stat.S_ISREG(status.st_mode):
            raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT), key)

    def _delete(self, key: str) -> None:
        with self._open() as folder:
            folder.unlink(key)


def _is_object(name: str) -> bool:
    """Unfinished ones are none, and what another program named with `#` was such a one too."""
    last = name.rpartition("/")[2]
    return not last.startswith(UNFINISHED) and "#" not in last


def _found(name: str, status: os.stat_result) -> StoredObject:
    return StoredObject(name, status.st_size, datetime.fromtimestamp(status.st_mtime, UTC))
