"""seccomp: every system call but those in `services.detector.cell.calls` is refused from now on."""

import ctypes
import errno
import os

from services.detector.cell import bpf, calls, linux

_SET_MODE_FILTER = 1  # SECCOMP_SET_MODE_FILTER, linux/seccomp.h
_ALL_THREADS = 1  # SECCOMP_FILTER_FLAG_TSYNC


class _Program(ctypes.Structure):
    """`struct sock_fprog` of linux/filter.h."""

    _fields_ = (("length", ctypes.c_ushort), ("filter", ctypes.c_char_p))


def filter_of(machine: str, pid: int) -> list[bpf.Instruction]:
    """The program for the process `pid` on an architecture.

    What is refused fails with EPERM. Newer calls, and `clone3`, are answered as by an older kernel
    (ENOSYS), for which their callers are prepared.
    """
    unknown = bpf.error(errno.ENOSYS)
    return bpf.program(
        calls.AUDIT_ARCH[machine],
        calls.conditions_by_number(machine, pid),
        refused=bpf.error(errno.EPERM),
        answers={calls.CLONE3: unknown},
        newest=calls.NEWEST,
        unknown=unknown,
    )


def allow_only_what_decoding_needs() -> None:
    """Install the filter, in all threads.

    Raises:
        OSError: this kernel has no seccomp, or there is no table for this architecture.
    """
    machine = calls.machine()
    install(filter_of(machine, os.getpid()), machine)


def install(instructions: list[bpf.Instruction], machine: str) -> None:
    """Have the kernel judge by this program, for good.

    Raises:
        OSError: the kernel refused it.
    """
    program = _Program(len(instructions), bpf.packed(instructions))
    number = calls.SECCOMP[machine]
    thread = linux.call(number, _SET_MODE_FILTER, _ALL_THREADS, ctypes.byref(program))
    if thread:
        raise OSError(f"thread {thread} has a filter of its own")
