"""Threads for calls that may hang, as those to a file system may; a thread is kept for the next
call, and none holds up the end of its process."""

import asyncio
import threading
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

KEPT = 16
"""Threads that wait for the next call. To start one costs three times as much as a short call."""

T = TypeVar("T")

_Call = Callable[[], Callable[[], None]]
"""What a thread calls; and then what that answered, to tell of it."""

_waiting: deque[SimpleQueue[_Call]] = deque()
"""The queues of threads that have nothing to do."""


def begin(call: Callable[[], T]) -> "asyncio.Future[T]":
    """What `call` answers, from a thread. It goes on to its end also where nobody waits any more.

    `asyncio.to_thread` takes threads from a small pool, and a process that ends waits for them: a
    file system that hangs would use it up, and hold up the end. Here each call has a thread of its
    own, and those that hang cost the next ones nothing.
    """
    loop = asyncio.get_running_loop()
    answer: asyncio.Future[T] = loop.create_future()

    def called() -> Callable[[], None]:
        value: T | None = None
        failure: BaseException | None = None
        try:
            value = call()
        except BaseException as error:  # noqa: BLE001 - raised where it is awaited
            failure = error
        return partial(_tell, loop, answer, value, failure)

    _give(called)
    return answer


def begin_unheard(call: Callable[[], None]) -> None:
    """Have a thread make a call whose answer nobody waits for, nor hears of its OSError."""

    def called() -> Callable[[], None]:
        with suppress(OSError):
            call()
        return _nothing

    _give(called)


def _give(call: _Call) -> None:
    try:
        calls = _waiting.pop()
    except IndexError:
        calls = SimpleQueue()
        threading.Thread(target=_serve, args=(calls,), name="may hang", daemon=True).start()
    calls.put(call)


def _serve(calls: SimpleQueue[_Call]) -> None:
    kept = True
    while kept:
        tell = calls.get()()
        if kept := len(_waiting) < KEPT:
            _waiting.append(calls)
        tell()
        del tell  # it holds the answer


def _tell(
    loop: asyncio.AbstractEventLoop,
    answer: "asyncio.Future[T]",
    value: T | None,
    failure: BaseException | None,
) -> None:
    def tell() -> None:
        if answer.done():
            return
        if failure is None:
            answer.set_result(value)  # type: ignore[arg-type]  # a T wherever there is no error
        else:
            answer.set_exception(failure)

    with suppress(RuntimeError):  # the loop has ended: nobody waits any more
        loop.call_soon_threadsafe(tell)


def _nothing() -> None:
    pass
