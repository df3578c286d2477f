"""Writing log lines to standard error without ever waiting for who reads them.

A pipe whose reader stalls (a stopped pager, a log agent that is behind) fills up, and the next
write blocks. So a thread writes; what does not fit into its queue is counted, and told afterwards.
"""

import atexit
import os
import select
import sys
import threading
from collections import deque
from contextlib import suppress

import structlog

QUEUE_BYTES = 4 << 20
"""Lines that wait at most, in bytes: minutes of a busy service, or seconds of a debug log."""

LAST_WORDS_SECONDS = 1.0
"""How long the end of the process waits for lines that are not written yet."""

STANDARD_ERROR = 2


class LogLines:
    """A file for structlog and logging: `write` returns at once, and no reader can stop it."""

    def __init__(self) -> None:
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._left_out = 0
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def write(self, text: str) -> None:
        """Have a line written soon; one that finds the queue full is left out, and counted."""
        if sys.stderr is not sys.__stderr__:  # somebody collects what is said in this process
            with suppress(OSError, ValueError):  # ValueError: it is closed
                sys.stderr.write(text)
            return
        line = text.encode("utf-8", "backslashreplace")
        with self._changed:
            if self._bytes + len(line) > QUEUE_BYTES:
                self._left_out += 1
                return
            self._waiting.append(line)
            self._bytes += len(line)
            if self._thread is None:
                self._start()
            self._changed.notify_all()

    def flush(self) -> None:
        """Nothing: to wait here is what must not be."""

    def close(self) -> None:
        """Wait until all is written, but not for a reader that stalls."""
        with self._changed:
            self._changed.wait_for(lambda: not self._bytes, LAST_WORDS_SECONDS)

    def _start(self) -> None:
        # A daemon: it may be blocked in a write for ever, and must not keep the process.
        self._thread = threading.Thread(target=self._run, name="log lines", daemon=True)
        self._thread.start()
        atexit.register(self.close)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._waiting)
                line = self._waiting.popleft()
            _write(line)
            with self._changed:
                self._bytes -= len(line)
                left_out = 0 if self._waiting else self._left_out
                self._left_out -= left_out
                self._changed.notify_all()
            if left_out:
                structlog.get_logger().warning("nobody read the log: left out", lines=left_out)


def _write(line: bytes) -> None:
    """Write all of it. A terminal that was closed, or `2>&1 | head`, takes nothing any more.

    Not by `sys.stderr`: its lock would be held by this thread while it is blocked, and the end of
    the interpreter would stumble over that.
    """
    with suppress(OSError):
        while line:
            try:
                line = line[os.write(STANDARD_ERROR, line) :]
            except BlockingIOError:  # whoever gave us this end made it non-blocking
                select.select([], [STANDARD_ERROR], [])
