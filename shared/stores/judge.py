"""Whose refusal it is, the store's or the object's: what succeeded last is repeated.

A bucket refuses one object (its own permissions, a key that it cannot hold), or everything alike (a
token that ran out, a clock that is wrong, a policy that was changed). The answers look the same:
S3 says 403 for a key that is absent, where the caller may not list. An outage is nobody's fault, so
a refusal counts against its object only while the store does what it did before.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.errors import FacesError, Unreachable
from shared.stores.opening import ObjectRefused

T = TypeVar("T")


class Judge:
    """Judges the refusals of one kind of action (reading, listing, writing) in one store."""

    def __init__(self, repeat: Callable[[], Awaitable[object]]) -> None:
        """`repeat` does once more what succeeded last; it raises as the action does."""
        self._repeat = repeat
        self._asking = asyncio.Lock()
        self._asked_at = 0.0
        self._answer: FacesError | None = None

    async def call(self, attempt: Callable[[], Awaitable[T]]) -> T:
        """What `attempt` answers.

        A refusal is tried a second time, after the store has shown that it takes such things: what
        was refused in an outage that has just ended is nobody's fault either.

        Raises:
            ObjectRefused: this object is refused, and others are not.
            Unreachable: the store refuses all, or does not answer.
        """
        try:
            return await attempt()
        except ObjectRefused as refusal:
            await self.prove(refusal)
        return await attempt()

    async def prove(self, refusal: ObjectRefused) -> None:
        """See that the store still does what it did; for many refusals at once it is asked once.

        Raises:
            Unreachable: it does not.
        """
        refused_at = time.monotonic()
        async with self._asking:
            if self._asked_at <= refused_at:
                self._asked_at = time.monotonic()
                self._answer = None
                try:
                    await self._repeat()
                except FacesError as error:  # anew: its traceback holds what was to be written
                    self._answer = type(error)(str(error))
            if isinstance(self._answer, Unreachable):
                raise Unreachable(str(self._answer))
            if self._answer is not None:
                raise Unreachable(refusal.of_all) from None
