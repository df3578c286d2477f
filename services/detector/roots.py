"""Folders that pictures are read from by reference, and what waits while one is not mounted.

Slots open the files; what they cannot read may be missing because its whole folder is, or be
refused because its volume refuses all. So what was read last is tried again before one is blamed.
"""

from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from os import fsdecode
from pathlib import Path
from typing import ClassVar

from services.detector.failures import Refused
from services.detector.put_off import PutOff
from services.detector.references.file import GONE, peek
from shared.errors import Unreachable
from shared.references import FILES, Scheme
from shared.stores.mounts import MountedFolder
from shared.stores.patience import SignOfLife, in_thread
from shared.streams.away import Away
from shared.urls import below, file_path

SIGNS = 3
"""How many of the files that were read last are kept: some of them alone may be refused by now."""


class Roots:
    """The allowed folders, by their URIs."""

    scheme: ClassVar[Scheme] = FILES

    def __init__(self, allowed: Sequence[str], away: Away) -> None:
        self._roots = {root: _Root(root, allowed) for root in allowed}
        self._away = away

    async def look(self) -> None:
        """See what is mounted now, to tell later what no longer is."""
        for root in self._roots.values():
            with suppress(Unreachable):
                await root.there()

    def of(self, uri: str) -> str:
        """The folder that a file is in by its name; '' where it is in none."""
        return next((root for root in self._roots if below(uri, root)), "")

    @asynccontextmanager
    async def content(self, uri: str, _version: str) -> AsyncIterator[None]:
        """None: a slot opens the file, if it may.

        Its folder is seen to answer before: on one that hangs, a slot would hang with it.

        Raises:
            PutOff: its folder does not answer.
        """
        named = self.of(uri)
        if later := self._away.later(named):
            raise PutOff(later)
        if root := self._roots.get(named):
            await self._unless_away(named, root.there, root.there.lately())
        yield None

    def read(self, uri: str) -> None:
        """A slot has read this file."""
        if root := self._roots.get(self.of(uri)):
            root.read(uri)

    async def judge(self, named: str) -> None:
        """See whose fault it is that a file below a folder could not be read: its own, if the
        folder is there and what was read from it still can be.

        Raises:
            PutOff: the folder does not answer, or refuses all.
        """
        if root := self._roots.get(named):
            await self._unless_away(named, root.readable, root.readable())

    async def _unless_away(
        self, named: str, alive: SignOfLife, answer: Coroutine[object, object, None]
    ) -> None:
        try:
            await answer
        except Unreachable as away:
            raise PutOff(self._away.report(named, str(away), alive)) from None


class _Root:
    """One allowed folder.

    Attributes:
        there: whether it is there.
        readable: whether it is, and something can still be read of what was read last.
    """

    def __init__(self, root: str, allowed: Sequence[str]) -> None:
        self._allowed = allowed
        self._mounted = MountedFolder(Path(fsdecode(file_path(root))))
        self._signs: tuple[str, ...] = ()
        silent = f"{FILES.setting}: {self._mounted.folder} does not answer"
        self.there = SignOfLife(partial(in_thread, self._mounted.see), silent)
        self.readable = SignOfLife(partial(in_thread, self._read_again), silent)

    def read(self, uri: str) -> None:
        """This file was read."""
        others = (sign for sign in self._signs if sign != uri)
        self._signs = (*others, uri)[-SIGNS:]

    def _read_again(self) -> None:
        self._mounted.see()
        refusal = ""
        for uri in reversed(self._signs):
            try:
                peek(uri, self._allowed)
            except Refused:
                continue  # something else is there by now
            except OSError as error:
                if error.errno in GONE:
                    continue
                refusal = error.strerror or str(error)
            else:
                return
        if refusal:
            told = f"what was read from {self._mounted.folder} no longer can be: {refusal}"
            raise Unreachable(f"{FILES.setting}: {told}")
