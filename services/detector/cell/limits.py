"""Limits of a child that it cannot raise again: setrlimit(2), soft and hard alike."""

import resource
from collections.abc import Callable
from functools import partial

from services.detector.cell import linux

DESCRIPTORS = 64
"""Two pipes, a socket, a picture, and a few files while a module or a model is loaded."""

MOST_THREADS = 16_384
"""Half of the least that Linux lets there be by default (32,768: PID_MAX_DEFAULT, linux/threads.h).
"""

_NOTHING = ("CORE", "FSIZE", "MEMLOCK", "MSGQUEUE")
"""What a child needs none of: core files, bytes in files, memory that is not paged out, message
queues. A system that lacks one of them has nothing to limit."""


def lower_limits(address_space: int) -> None:
    """Hold this process to so many bytes of address space, few descriptors, half of all threads.

    What needs more memory gets a MemoryError instead of the whole container's. The other half of
    the threads that this user may have stays for others. To root their number is no limit
    (getrlimit(2)); every other one is, since root's capabilities go too.

    Raises:
        OSError: the system refused one of the limits; all others hold.
    """
    wanted = {"AS": address_space, "NOFILE": DESCRIPTORS, "NPROC": _threads()}
    wanted |= dict.fromkeys(_NOTHING, 0)
    steps: list[Callable[[], None]] = [
        partial(_lower, name, value) for name, value in wanted.items()
    ]
    if linux.ON_LINUX:
        steps += [linux.drop_capabilities, linux.hide_memory]
    refused = []
    for step in steps:
        try:
            step()
        except (OSError, ValueError, AttributeError) as error:  # a C library without the call
            refused.append(getattr(error, "strerror", None) or str(error))
    if refused:
        raise OSError("; ".join(refused))


def _threads() -> int:
    """How many threads this user may have before this process may start none: Linux counts them by
    user, in all processes. Elsewhere only processes are counted, of which a child needs no other.
    """
    if not linux.ON_LINUX:
        return 0
    soft, _ = resource.getrlimit(resource.RLIMIT_NPROC)
    return MOST_THREADS if soft == resource.RLIM_INFINITY else min(soft // 2, MOST_THREADS)


def _lower(name: str, value: int) -> None:
    kind = getattr(resource, f"RLIMIT_{name}", None)
    if kind is None:
        return
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    try:
        resource.setrlimit(kind, (value, value))
    except (OSError, ValueError) as error:
        raise OSError(f"RLIMIT_{name}: {error}") from None
