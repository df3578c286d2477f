"""One folder that pictures are opened in: whether it is there, and that nobody waits for it for
ever. Whatever may hang with its file system is done in a thread."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from os import close, fsdecode
from pathlib import Path

from services.detector.failures import Refused, TryAgain
from services.detector.reading import GONE
from services.detector.references import Opened, Rules, open_reference
from services.detector.references.file import peek
from shared.errors import Unreachable
from shared.reasons import Reason
from shared.references import FILES
from shared.stores.mounts import MountedFolder
from shared.stores.patience import SignOfLife, in_thread, while_alive
from shared.stores.threads import begin, begin_unheard
from shared.urls import file_path

SIGNS = 3
"""How many of the files that were read last are kept: some of them alone may be refused by now."""

HANGING_LIMIT = 16
"""A folder in which the opening of so many files hangs counts as away: each holds a thread."""


class PictureFolder:
    """A folder by its URI; '' for the places that are below no allowed folder by their name.

    Attributes:
        there: whether it is there.
        readable: whether it is, and something can still be read of what was read last.
    """

    def __init__(self, root: str, rules: Rules, at_once: int, seconds: float) -> None:
        """So many files are open at once, and one is opened within so many seconds."""
        self._rules = rules
        self._places = asyncio.Semaphore(at_once)
        self._seconds = seconds
        self._mounted = MountedFolder(Path(fsdecode(file_path(root)))) if root else None
        self._named = str(self._mounted.folder) if self._mounted else "what is elsewhere"
        self._signs: tuple[str, ...] = ()
        self._hanging = 0
        silent = f"{FILES.setting}: {self._named} does not answer"
        self.there = SignOfLife(partial(self._answer, self._see), silent)
        self.readable = SignOfLife(partial(self._answer, self._read_again), silent)

    def read(self, uri: str) -> None:
        """This file was read."""
        others = (sign for sign in self._signs if sign != uri)
        self._signs = (*others, uri)[-SIGNS:]

    @asynccontextmanager
    async def place(self, see: Callable[[], None]) -> AsyncIterator[None]:
        """One of the places for open files; `see` is called again where it had to be waited for."""
        see()
        waits = self._places.locked()
        async with self._places:
            if waits:
                see()
            yield

    async def open(self, uri: str, version: str) -> Opened:
        """The open file of a picture, in a thread; to be closed with `close_behind`.

        Raises:
            Refused, TryAgain: as an opener, or it takes too long.
            Unreachable: the folder does not answer.
        """
        await self.there.lately()
        try:
            async with asyncio.timeout(self._seconds):
                return await while_alive(self._opened(uri, version), self.there)
        except TimeoutError:
            told = f"the file could not be opened within {self._seconds:g} s"
            raise TryAgain(Reason.TIMEOUT, told) from None

    async def _opened(self, uri: str, version: str) -> Opened:
        opening = begin(partial(open_reference, uri, version, self._rules))
        wanted = False
        try:
            opened = await asyncio.shield(opening)
            wanted = True
        finally:
            if not wanted:
                self._hanging += 1
                opening.add_done_callback(self._came_too_late)
        return opened

    def _came_too_late(self, opening: "asyncio.Future[Opened]") -> None:
        self._hanging -= 1
        if not opening.cancelled() and opening.exception() is None:
            close_behind(opening.result())

    async def _answer(self, look: Callable[[], None]) -> None:
        if self._hanging >= HANGING_LIMIT:
            told = f"{self._hanging} files hang while they are opened"
            raise Unreachable(f"{FILES.setting}: {self._named}: {told}")
        await in_thread(look)

    def _see(self) -> None:
        if self._mounted:
            self._mounted.see()

    def _read_again(self) -> None:
        self._see()
        refusal = ""
        for uri in reversed(self._signs):
            try:
                peek(uri, self._rules.allow_list(FILES))
            except Refused:
                continue  # something else is there by now
            except OSError as error:
                if error.errno in GONE:
                    continue
                refusal = error.strerror or str(error)
            else:
                return
        if refusal:
            told = f"what was read from {self._named} no longer can be: {refusal}"
            raise Unreachable(f"{FILES.setting}: {told}")


def close_behind(opened: Opened) -> None:
    """Close a file in a thread: that, too, may hang, and nobody need wait for it."""
    begin_unheard(partial(close, opened.descriptor))
