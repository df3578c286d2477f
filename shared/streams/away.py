"""Which of the things that entries need (a bucket, a mounted folder) do not answer now.

An entry that needs one of them is put off, untried, until it answers again: asking goes on in the
background, and whoever hears an answer brings back all that wait for it. Each process finds out for
itself; what one of them brings back and another cannot use yet is put off once more.
"""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field

import structlog
from redis.exceptions import RedisError

from shared.backoff import backoff
from shared.errors import Unreachable
from shared.printing import without_words
from shared.streams.cancellation import happens_within
from shared.streams.later import WaitingSets
from shared.streams.stage import Later

ASK_FIRST_SECONDS = 1.0
ASK_CAP_SECONDS = 4.0

ASKED_AT_ONCE = 4
"""Questions that may be open at a time. One that a silent server took is not answered when it is
back, and ends only by its own limit; the next one is."""

WAIT_SECONDS = (30.0, 60.0)
"""How long an entry is put off, spread: `bring_back` ends it early. The wait is what brings it back
where the process that asked is gone."""

TRIAL_FIRST_SECONDS = 2.0
TRIAL_CAP_SECONDS = 30.0
"""How often an entry is let through all the same. What is asked for may be refused for good (an
object that was deleted since), while the entries that wait would be served. What may hang is asked
for a sign of life before, also for one that is let through."""

STRAGGLERS_SECONDS = 2.0
"""After this long all are brought back once more: some were being put off at that moment."""

SIGN_SECONDS = 1.0
SIGN_LASTS_SECONDS = 3.0
"""How often a process says that it asks, and for how long that holds: where it has ended, others
bring back what waits, and find out for themselves."""

Ask = Callable[[], Awaitable[object]]

log = structlog.get_logger()


@dataclass(eq=False)
class _Absence:
    """One of them, while it does not answer."""

    reason: str
    next_trial: float
    trials: int = 1
    asking: "asyncio.Task[None] | None" = field(default=None)
    signing: "asyncio.Task[None] | None" = field(default=None)


class Away:
    """What does not answer, as far as this process knows. Call `close` at the end."""

    def __init__(self, waiting: WaitingSets) -> None:
        self._waiting = waiting
        self._absent: dict[str, _Absence] = {}
        self._returning: set[asyncio.Task[None]] = set()

    def later(self, key: str) -> Later | None:
        """What becomes of an entry that needs `key`; None: try it."""
        absence = self._absent.get(key)
        if absence is None:
            return None
        now = time.monotonic()
        if now >= absence.next_trial:
            absence.trials += 1
            absence.next_trial = now + _trial_pause(absence.trials)
            return None
        return _later(key, absence.reason)

    def report(self, key: str, reason: str, ask: Ask) -> Later:
        """`key` does not answer, for this reason: what becomes of the entry that needed it.

        `ask` is called, 1 s apart and growing to 4 s, until it does not raise Unreachable.
        """
        absence = self._absent.get(key)
        if absence is None:
            log.warning("does not answer", needed=key, reason=reason)
            absence = _Absence(reason, time.monotonic() + _trial_pause(1))
            self._absent[key] = absence
            absence.asking = asyncio.create_task(self._ask(key, absence, ask))
            absence.signing = asyncio.create_task(self._sign(key))
        absence.reason = reason
        return _later(key, reason)

    async def close(self) -> None:
        """Ask no more; others do, or what waits comes back by its own time."""
        absent = [*self._absent.items()]
        await _end(task for _, one in absent for task in (one.asking, one.signing) if task)
        for key, _ in absent:
            with suppress(RedisError):  # the last sign ends by itself
                await self._waiting.asks(key, 0)
        await _end(self._returning)  # one that asked may have had its answer just then

    async def _ask(self, key: str, absence: _Absence, ask: Ask) -> None:
        """Ask until there is an answer, then have what waits brought back."""
        answered = asyncio.Event()

        async def once() -> None:
            try:
                await ask()
            except Unreachable as error:
                absence.reason = str(error)
                return
            except Exception as error:  # noqa: BLE001 - a bug in it must not keep entries waiting
                log.error(
                    "asking failed; entries are tried again",
                    needed=key,
                    exception=without_words(error),
                )
            answered.set()

        asking: set[asyncio.Task[None]] = set()
        times = 0
        try:
            while not answered.is_set():
                times += 1
                pause = backoff(times, ASK_FIRST_SECONDS, ASK_CAP_SECONDS)
                if await happens_within(answered, pause):
                    break
                if len(asking) < ASKED_AT_ONCE:
                    task = asyncio.create_task(once())
                    asking.add(task)
                    task.add_done_callback(asking.discard)
        finally:
            for task in asking:
                task.cancel()
        log.info("answers again", needed=key)
        del self._absent[key]
        if absence.signing is not None:
            absence.signing.cancel()
        returning = asyncio.create_task(self._bring_back(key))
        self._returning.add(returning)
        returning.add_done_callback(self._returning.discard)

    async def _sign(self, key: str) -> None:
        """Say again and again that this process asks."""
        while True:
            with suppress(RedisError):  # then others may find out for themselves
                await self._waiting.asks(key, SIGN_LASTS_SECONDS)
            await asyncio.sleep(SIGN_SECONDS)

    async def _bring_back(self, key: str) -> None:
        """Bring back all that wait for it, and those that were on their way into the set."""
        for pause in (0.0, STRAGGLERS_SECONDS):
            await asyncio.sleep(pause)
            failures = 0
            while key not in self._absent:
                try:
                    await self._waiting.bring_back(key)
                    break
                except RedisError:  # the stage says why Redis does not do it
                    failures += 1
                    await asyncio.sleep(backoff(failures, ASK_FIRST_SECONDS, ASK_CAP_SECONDS))


async def _end(tasks: "Iterable[asyncio.Task[None]]") -> None:
    ending = [*tasks]
    for task in ending:
        task.cancel()
    await asyncio.gather(*ending, return_exceptions=True)


def _trial_pause(trials: int) -> float:
    return backoff(trials, TRIAL_FIRST_SECONDS, TRIAL_CAP_SECONDS)


def _later(key: str, reason: str) -> Later:
    return Later(random.uniform(*WAIT_SECONDS), key, reason)  # noqa: S311 - spreads, hides nothing
