"""Waiting for what may rightly take long, as long as who does it gives signs of life."""

import asyncio
import math
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from shared.errors import Unreachable
from shared.stores.threads import begin

PATIENCE_SECONDS = 5.0
"""After this long, and again and again, a sign of life is asked for."""

SIGN_SECONDS = 5.0
"""How long a sign of life may take."""

LATELY_SECONDS = 1.0
"""An answer of so short a time ago is taken as given, where many begin what needs it."""

T = TypeVar("T")


async def while_alive(call: Awaitable[T], ask: Callable[[], Awaitable[object]]) -> T:
    """What `call` answers, however long that takes, while `ask` goes well now and then.

    A time limit would be wrong either way: a large picture over a thin line takes minutes, and a
    server that is silent should be known to be within seconds.

    Raises:
        Unreachable: as `ask` raised; `call` is cancelled. Else as `call` does.
    """
    loop = asyncio.get_running_loop()
    silence: Unreachable | None = None
    watching: list[asyncio.Task[None]] = []

    async def watch() -> None:
        nonlocal silence
        while True:
            try:
                await ask()
            except Unreachable as error:
                silence = error
                limit.reschedule(loop.time())
                return
            await asyncio.sleep(PATIENCE_SECONDS)

    # A task for each call, where one in thousands takes long, would cost more than many a call.
    timer = loop.call_later(PATIENCE_SECONDS, lambda: watching.append(loop.create_task(watch())))
    try:
        async with asyncio.timeout(None) as limit:
            return await call
    except TimeoutError:
        if silence is None:
            raise
        raise silence from None
    finally:
        timer.cancel()
        for task in watching:
            task.cancel()


class SignOfLife:
    """Asks one thing for a sign of life, for all who want to know at the same time.

    While an answer is outstanding nobody asks anew: a disk that hangs would take a thread for each
    time that it is asked.
    """

    def __init__(self, ask: Callable[[], Awaitable[object]], silent: str) -> None:
        """`silent`: the sentence for people where no answer comes."""
        self._ask = ask
        self._silent = silent
        self._asking: asyncio.Future[object] | None = None
        self._answered_at = -math.inf

    async def lately(self) -> None:
        """Return if it answered within LATELY_SECONDS, or does now; errors as when it is called.

        This is for before an attempt. After a failed one only an answer of now tells anything.
        """
        if time.monotonic() - self._answered_at > LATELY_SECONDS:
            await self()

    async def __call__(self) -> None:
        """Return when it answers.

        Raises:
            Unreachable: it does not within SIGN_SECONDS. Else as it is asked.
        """
        asking = self._asking  # by the end of this wait others may have asked anew
        if asking is None or asking.done():
            asking = self._asking = asyncio.ensure_future(self._ask())
            asking.add_done_callback(_looked_at)
        done, _ = await asyncio.wait([asking], timeout=SIGN_SECONDS)
        if not done:
            raise Unreachable(self._silent)
        error = asking.exception()
        if isinstance(error, Unreachable):  # anew: one that is kept would keep who is told
            raise Unreachable(str(error))
        asking.result()
        self._answered_at = time.monotonic()


def _looked_at(answer: "asyncio.Future[object]") -> None:
    """An error counts as looked at, also where all who asked have gone by now."""
    if not answer.cancelled():
        answer.exception()


async def in_thread(call: Callable[[], T]) -> T:
    """What `call` answers, in a thread that keeps nobody from ending; see `threads.begin`."""
    return await begin(call)
