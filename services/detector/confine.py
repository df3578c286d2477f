"""What a child process gives up before it touches a picture from a stranger."""

import ctypes
import os
import resource
import signal
import sys
from pathlib import Path
from typing import BinaryIO

from services.detector.pipe import PIPE_BYTES

NICENESS = 5
"""The parent's event loop comes first where CPUs are scarce: it keeps all slots busy."""

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_PR_SET_NO_NEW_PRIVS = 38
_F_SETPIPE_SZ = 1031  # linux/fcntl.h


def take_pipes() -> tuple[BinaryIO, BinaryIO]:
    """The pipes from and to the parent, moved away from standard input and output.

    A library that prints then writes to standard error, which the parent logs, and not into the
    middle of a frame.
    """
    incoming, outgoing = os.dup(0), os.dup(1)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    sys.stdin, sys.stdout = open(os.devnull), sys.stderr  # noqa: SIM115, PTH123 - for good
    for descriptor in (incoming, outgoing):
        _widen(descriptor)
    return os.fdopen(incoming, "rb"), os.fdopen(outgoing, "wb")


def _widen(descriptor: int) -> None:
    import fcntl  # noqa: PLC0415 - beside its only use

    if sys.platform == "linux":
        try:
            fcntl.fcntl(descriptor, _F_SETPIPE_SZ, PIPE_BYTES)
        except OSError:
            return  # the user's share of pipe memory is used up: only slower


def leave_with_parent() -> None:
    """Be killed when the parent dies, also in the middle of a picture (Linux; elsewhere the child
    notices when it next reads). Nothing that this process starts may gain rights."""
    if sys.platform == "linux":
        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def ignore_signals() -> None:
    """Ctrl-C and a supervisor's SIGTERM are the parent's to answer: it drains, then closes the
    pipe, which ends this process."""
    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_IGN)


def limit_memory(address_space: int) -> None:
    """No core files, and no more address space than this many bytes: what needs more gets a
    MemoryError instead of the whole container's memory."""
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        address_space = min(address_space, hard)
    resource.setrlimit(resource.RLIMIT_AS, (address_space, hard))


def address_space() -> int:
    """Bytes of address space that this process holds; 0 where the system does not tell."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[0])
    except OSError:
        return 0
    return pages * resource.getpagesize()
