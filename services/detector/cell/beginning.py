"""What a child does first: leave its parent's pipes, signals and terminal alone."""

import os
import signal
import sys
from contextlib import suppress
from pathlib import Path
from resource import getpagesize
from typing import BinaryIO

from services.detector.cell import linux

NICENESS = 5
"""The parent's event loop comes first where CPUs are scarce: it keeps all slots busy."""

_FIRST = (
    (linux.PR_SET_DUMPABLE, 0),
    (linux.PR_SET_PDEATHSIG, signal.SIGKILL),
    (linux.PR_SET_NO_NEW_PRIVS, 1),
)

_F_SETPIPE_SZ = 1031  # linux/fcntl.h


def begin() -> None:
    """Before anything else: be killed with the parent, gain no rights, and be read by nobody.

    The parent may die in the middle of a picture (elsewhere than on Linux the child notices when
    it next reads). Ctrl-C and a supervisor's SIGTERM are the parent's to answer: it drains, then
    closes the pipe, which ends this process.
    """
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)
    if linux.ON_LINUX:
        for option, value in _FIRST:
            with suppress(OSError):  # what a cell lacks for it is told when it is closed
                linux.prctl(option, value)
    os.nice(NICENESS)


def take_pipes(room: int) -> tuple[BinaryIO, BinaryIO]:
    """The pipes from and to the parent, moved away from standard input and output.

    A library that prints then writes to standard error, which the parent logs, and not into the
    middle of a frame. Each pipe is asked to hold `room` bytes.
    """
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdin, sys.stdout = open(os.devnull), sys.stderr  # noqa: SIM115, PTH123 - for good
    for descriptor in (incoming, outgoing):
        _widen(descriptor, room)
    return os.fdopen(incoming, "rb"), os.fdopen(outgoing, "wb")


def _widen(descriptor: int, room: int) -> None:
    import fcntl  # noqa: PLC0415 - beside its only use

    if linux.ON_LINUX:
        try:
            fcntl.fcntl(descriptor, _F_SETPIPE_SZ, room)
        except OSError:
            return  # the user's share of pipe memory is used up: only slower


def address_space() -> int:
    """Bytes of address space that this process holds; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 0
    return pages * getpagesize()
