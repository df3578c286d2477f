"""System calls of Linux that Python's library has no function for; each failure is an OSError."""

import ctypes
import errno
import os
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h
PR_SET_DUMPABLE = 4
PR_SET_NO_NEW_PRIVS = 38

LANDLOCK_CREATE_RULESET = 444  # the same on all architectures since Linux 5.1
LANDLOCK_ADD_RULE = 445
LANDLOCK_RESTRICT_SELF = 446

ON_LINUX = sys.platform == "linux"

_CAPABILITY_VERSION = 0x20080522  # linux/capability.h: version 3, two words a set


def libc() -> ctypes.CDLL:
    """The C library that this process is linked to."""
    return ctypes.CDLL(None, use_errno=True)


def call(number: int, *arguments: object) -> int:
    """A system call by its number, as syscall(2) makes it.

    Raises:
        OSError: the kernel refused it, or does not know it.
    """
    if not ON_LINUX:  # where the same number is another call
        raise OSError(errno.ENOSYS, "only Linux has it")
    function = libc().syscall
    function.restype = ctypes.c_long
    words = [ctypes.c_long(one) if isinstance(one, int) else one for one in arguments]
    return _checked(function(ctypes.c_long(number), *words))


def prctl(option: int, value: int) -> None:
    """prctl(2) with one argument.

    Raises:
        OSError: the kernel refused it.
    """
    _checked(libc().prctl(option, *(ctypes.c_ulong(word) for word in (value, 0, 0, 0))))


def hide_memory() -> None:
    """Let no other process of this user read this one's memory or environment, or trace it.

    With `PR_SET_DUMPABLE` 0 only root sees /proc/PID/environ and /proc/PID/mem (proc(5)), and no
    core is dumped. An execve(2) sets it back: each program does this for itself.
    """
    if ON_LINUX:
        prctl(PR_SET_DUMPABLE, 0)


def drop_capabilities() -> None:
    """Give up what root may do beyond its files, for good (capabilities(7)).

    Raises:
        OSError: the kernel refused it.
    """
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _checked(libc().capset(header, nothing))


def _checked(result: int) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    return result
