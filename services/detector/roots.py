"""Folders that pictures are opened in by reference, and what waits while one is not mounted.

What cannot be opened or read may be missing because its whole folder is, or be refused because its
volume refuses all. So what was read last is tried again before one is blamed.
"""

from collections.abc import AsyncIterator, Awaitable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import ClassVar, TypeVar

from services.detector.failures import PictureFailed, TryAgain
from services.detector.opening import PictureFolder, close_behind
from services.detector.put_off import PutOff
from services.detector.references import Opened, Rules
from shared.errors import Unreachable
from shared.reasons import Reason
from shared.references import FILES, Scheme, allowed_by
from shared.stores.mounts import folders_of
from shared.stores.patience import SignOfLife
from shared.streams.away import Away

OPEN_A_SLOT = 4
"""Files of one folder that are open for each slot: one at work, one that waits in the slot's pipe,
and two that are ready or being opened."""

T = TypeVar("T")


class Roots:
    """The allowed folders, by their URIs."""

    scheme: ClassVar[Scheme] = FILES

    def __init__(self, rules: Rules, away: Away, slots: int, seconds: float) -> None:
        """`rules` say which folders; a file is opened for one of so many slots, within `seconds`.

        What is in none of the folders by its name is opened too: it may be by where that leads.
        """
        self._holds = folders_of(rules.allow_list(FILES))
        self._folders = {
            folder: PictureFolder(folder, rules, OPEN_A_SLOT * slots, seconds)
            for folder in (*self._holds.values(), "")
        }
        self._away = away

    async def look(self) -> None:
        """See what is mounted now, to tell later what no longer is."""
        for folder in self._folders.values():
            with suppress(Unreachable):
                await folder.there()

    def of(self, uri: str) -> str:
        """The folder that a file is in by its name; '' where it is in none."""
        return self._holds.get(allowed_by(uri, tuple(self._holds)) or "", "")

    @asynccontextmanager
    async def content(self, uri: str, version: str) -> AsyncIterator[Opened]:
        """The open file of a picture, if it is allowed, in this version ('' for any).

        Its folder is seen to answer before: nothing need hang on one that does not.

        Raises:
            Refused, TryAgain: it cannot be had, and whether it is worth another attempt.
            PutOff: its folder does not answer.
        """
        named = self.of(uri)
        folder = self._folders[named]
        async with folder.place(partial(self._put_off_if_away, named)):
            try:
                opened = await self._unless_away(named, folder.there, folder.open(uri, version))
            except PictureFailed as failed:
                if not failed.below:
                    raise
                await self.judge(failed.below)
                # What was not there in an outage that has just ended is nobody's fault either.
                opened = await self._unless_away(named, folder.there, folder.open(uri, version))
            try:
                yield opened
            finally:
                close_behind(opened)

    def read(self, uri: str) -> None:
        """A slot has read this file."""
        self._folders[self.of(uri)].read(uri)

    async def judge(self, named: str) -> None:
        """See whose fault it is that a file below what is allowed could not be read: its own, if
        its folder is there and what was read from it still can be.

        Raises:
            PutOff: the folder does not answer, or refuses all.
        """
        if named := self._holds.get(named, ""):
            folder = self._folders[named]
            await self._unless_away(named, folder.readable, folder.readable())

    def _put_off_if_away(self, named: str) -> None:
        if later := self._away.later(named):
            raise PutOff(later)

    async def _unless_away(self, named: str, alive: SignOfLife, answer: Awaitable[T]) -> T:
        try:
            return await answer
        except Unreachable as away:
            if not named:
                raise TryAgain(Reason.UNREADABLE, str(away)) from None
            raise PutOff(self._away.report(named, str(away), alive)) from None
