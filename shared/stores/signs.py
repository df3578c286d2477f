"""What succeeded in a bucket lately, kept to be repeated: its signs of life."""

from collections.abc import Awaitable, Callable

from shared.errors import Unreachable
from shared.stores.judge import Judge
from shared.stores.opening import Gone, ObjectRefused

SIGNS = 3
"""How many of the last successes are kept: some of them may be deleted by now."""

Attempt = Callable[[], Awaitable[object]]


class Kind:
    """One kind of action, reading or listing: what succeeded lately, and what was refused."""

    def __init__(self) -> None:
        self.judge = Judge(self._repeat)
        self.refused: Attempt | None = None
        self._signs: dict[str, Attempt] = {}

    def succeeded(self, name: str, attempt: Attempt) -> None:
        """Keep an attempt that succeeded, to be repeated."""
        self._signs.pop(name, None)
        self._signs[name] = attempt
        while len(self._signs) > SIGNS:
            del self._signs[next(iter(self._signs))]

    async def ask(self) -> None:
        """Raise Unreachable while nothing succeeds of what did, nor what was refused."""
        try:
            await self._repeat()
        except ObjectRefused as refusal:
            try:
                await (self.refused or self._repeat)()
            except Gone:
                return  # the bucket knows us, and says so
            except ObjectRefused:
                raise Unreachable(refusal.of_all) from None

    async def _repeat(self) -> None:
        """Do again what succeeded last; one of them that still does is enough."""
        refusal = ObjectRefused("nothing has succeeded there yet")
        for attempt in reversed(list(self._signs.values())):
            try:
                await attempt()
            except Gone:
                return
            except ObjectRefused as error:
                refusal = error
            else:
                return
        raise refusal
