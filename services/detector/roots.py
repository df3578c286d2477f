"""Folders that pictures are read from by reference, and what waits while one is not mounted.

Slots open the files; what they cannot read may be missing because its whole folder is.
"""

from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from os import fsdecode
from pathlib import Path
from typing import ClassVar

from services.detector.put_off import PutOff
from shared.errors import Unreachable
from shared.references import FILES, Scheme
from shared.stores.mounts import MountedFolder
from shared.stores.patience import SignOfLife, in_thread
from shared.streams.away import Away
from shared.urls import below, file_path


class Roots:
    """The allowed folders, by their URIs."""

    scheme: ClassVar[Scheme] = FILES

    def __init__(self, allowed: Sequence[str], away: Away) -> None:
        self._alive = {root: _sign_of_life(root) for root in allowed}
        self._away = away

    async def look(self) -> None:
        """See what is mounted now, to tell later what no longer is."""
        for alive in self._alive.values():
            with suppress(Unreachable):
                await alive()

    def of(self, uri: str) -> str:
        """The folder that a file is in by its name; '' where it is in none."""
        return next((root for root in self._alive if below(uri, root)), "")

    @asynccontextmanager
    async def content(self, uri: str, _version: str) -> AsyncIterator[None]:
        """None: a slot opens the file, if it may.

        Its folder is seen to answer before: on one that hangs, a slot would hang with it.

        Raises:
            PutOff: its folder does not answer.
        """
        root = self.of(uri)
        if later := self._away.later(root):
            raise PutOff(later)
        if alive := self._alive.get(root):
            await self._unless_away(root, alive, alive.lately())
        yield None

    async def judge(self, root: str) -> None:
        """See whose fault it is that a file below a folder could not be read: its own, if the
        folder is there.

        Raises:
            PutOff: the folder does not answer.
        """
        if alive := self._alive.get(root):
            await self._unless_away(root, alive, alive())

    async def _unless_away(
        self, root: str, alive: SignOfLife, answer: Coroutine[object, object, None]
    ) -> None:
        try:
            await answer
        except Unreachable as away:
            raise PutOff(self._away.report(root, str(away), alive)) from None


def _sign_of_life(root: str) -> SignOfLife:
    folder = MountedFolder(Path(fsdecode(file_path(root))))
    silent = f"{FILES.setting}: {folder.folder} does not answer"
    return SignOfLife(partial(in_thread, folder.see), silent)
