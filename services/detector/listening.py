"""Whose fault it is that an object does not come: its bucket is silent, or slow, or only that
object hangs.

Before a bucket counts as silent it is asked for what was read from it last. So an object that hangs
costs itself an attempt, and no other picture of its bucket waits for it.
"""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial

from services.detector.failures import TryAgain
from services.detector.put_off import PutOff
from shared.errors import FacesError, Unreachable
from shared.reasons import Reason
from shared.stores.buckets import Bucket, Gone
from shared.stores.opening import ObjectRefused
from shared.streams.away import Away
from shared.urls import object_uri

PATIENCE_SECONDS = 1.0
"""A bucket of which something is asked, and from which nothing has come for so long, is silent as
far as its pictures are concerned. Its connection is given up only after ten times as long, and by
then its pictures would fill all that a detector may hold, and others would wait for them. After
half of it the bucket is asked for a sign of life."""

MOST_PATIENCE_SECONDS = 8.0
"""Patience is doubled whenever the bucket was slow and not silent, and halved whenever it is quick;
from here on only the time limits of its connections count."""

ALONE_SECONDS = 8.0
"""An object that has not begun to come so long after it was asked for, while its bucket answers, is
itself at fault. Less than the connection waits: its end would be taken for an outage."""

ROUNDS = 3
"""A bucket that is away for an object's sake, and answers as soon as it is asked for another, so
often: the object is at fault from then on. A bucket that limits how much it is asked says the same
of any object, now and then."""

ROUNDS_KEPT = 1000
"""Objects whose rounds are counted."""


class Listening:
    """What one bucket is heard of."""

    def __init__(self, bucket: Bucket, away: Away) -> None:
        self._bucket = bucket
        self._away = away
        self._patience = PATIENCE_SECONDS
        self._has_read = False
        self._asking: asyncio.Task[None] | None = None
        self._answered_at = -math.inf
        self._rounds: dict[str, int] = {}

    async def hear(
        self, key: str, getting: Coroutine[object, object, bytes], begun: asyncio.Event
    ) -> bytes:
        """The object that `getting` answers, while its bucket does; other errors as it raises.

        Raises:
            PutOff: the bucket does not answer, or not within this process' patience.
            TryAgain: it answers, but not for this object, which has not even `begun`.
        """
        asked_at = time.monotonic()
        try:
            content = await self._while_heard(key, getting, begun)
        except Unreachable as away:
            raise await self._blamed(key, away) from None
        self._has_read = True
        self._rounds.pop(key, None)
        if time.monotonic() - asked_at < PATIENCE_SECONDS:
            self._patience = max(self._patience / 2, PATIENCE_SECONDS)
        return content

    async def _while_heard(
        self, key: str, getting: Coroutine[object, object, bytes], begun: asyncio.Event
    ) -> bytes:
        patience = self._patience if self._patience <= MOST_PATIENCE_SECONDS else math.inf
        asked_at = time.monotonic()
        task = asyncio.ensure_future(getting)
        try:
            while (quiet := self._quiet_since(asked_at)) < patience:
                pause = PATIENCE_SECONDS / 2 - quiet
                if pause <= 0:
                    self._ask_for_a_sign()
                    pause = patience - quiet
                await asyncio.wait([task], timeout=min(pause, PATIENCE_SECONDS))
                if task.done():
                    return task.result()
                if not begun.is_set() and asked_at + ALONE_SECONDS < self._heard_at:
                    uri = object_uri(self._bucket.url, key)
                    raise TryAgain(Reason.UNREADABLE, f"{uri} does not come, its bucket answers")
        finally:
            task.cancel()
        url = self._bucket.url
        reason = f"{url} does not answer: nothing came from it for {patience:g} s"
        question = _Question(partial(self._ask, key), partial(self._be_patient, patience))
        raise PutOff(self._away.report(url, reason, question))

    async def _blamed(self, key: str, away: Unreachable) -> PutOff | TryAgain:
        """An answer of "not now" is the bucket's fault, unless it says so of this object alone."""
        if self._rounds.get(key, 0) >= ROUNDS:
            with suppress(Unreachable):
                await self._bucket.ask()
                uri = object_uri(self._bucket.url, key)
                told = f"{uri} is not answered, others of its bucket are: {away}"
                return TryAgain(Reason.UNREADABLE, told)
        question = _Question(self._bucket.ask, partial(self._count_round, key))
        return PutOff(self._away.report(self._bucket.url, str(away), question))

    def _count_round(self, key: str) -> None:
        self._rounds[key] = self._rounds.pop(key, 0) + 1
        while len(self._rounds) > ROUNDS_KEPT:
            del self._rounds[next(iter(self._rounds))]

    @property
    def _heard_at(self) -> float:
        return max(self._bucket.heard_at, self._answered_at)

    def _quiet_since(self, moment: float) -> float:
        """Seconds in which nothing came, counted from a moment at the earliest."""
        return time.monotonic() - max(moment, self._heard_at)

    def _ask_for_a_sign(self) -> None:
        """Ask in the background, once for all who listen, and where anything was read before."""
        if self._has_read and (self._asking is None or self._asking.done()):
            self._asking = asyncio.create_task(self._hear_a_sign())

    async def _hear_a_sign(self) -> None:
        with suppress(FacesError, TimeoutError):  # whoever reads says what is wrong
            async with asyncio.timeout(MOST_PATIENCE_SECONDS):
                await self._bucket.ask()
            self._answered_at = time.monotonic()

    async def _ask(self, key: str) -> None:
        """A sign of life: of what was read before; of this object only where nothing was.

        Raises:
            Unreachable: none yet.
        """
        if self._has_read:
            await self._bucket.ask()
            return
        with suppress(Gone, ObjectRefused):  # that is an answer
            await self._bucket.head(key)

    def _be_patient(self, patience: float) -> None:
        """It had only been slow."""
        self._patience = patience * 2


class _Question:
    """Asks a bucket until it answers; `at_once` is called if it does so at the first time."""

    def __init__(self, ask: Callable[[], Awaitable[None]], at_once: Callable[[], None]) -> None:
        self._ask = ask
        self._at_once = at_once
        self._was_asked = False

    async def __call__(self) -> None:
        was_asked, self._was_asked = self._was_asked, True
        await self._ask()
        if not was_asked:
            self._at_once()
