"""Limits of a child that it cannot raise again: setrlimit(2), soft and hard alike."""

import resource
from collections.abc import Callable
from functools import partial

from services.detector.cell import linux

DESCRIPTORS = 64
"""Two pipes, a socket, a picture, and a few files while a module or a model is loaded."""

_NOTHING = ("CORE", "FSIZE", "NPROC", "MEMLOCK", "MSGQUEUE")
"""What a child needs none of: core files, bytes in files, more processes or threads, memory that is
not paged out, message queues. A system that lacks one of them has nothing to limit."""


def lower_limits(address_space: int) -> None:
    """Hold this process to so many bytes of address space, few descriptors, and no other process.

    What needs more memory gets a MemoryError instead of the whole container's. To root the number
    of processes is no limit (getrlimit(2)); every other one is, since root's capabilities go too.

    Raises:
        OSError: the system refused one of the limits; all others hold.
    """
    wanted = {"AS": address_space, "NOFILE": DESCRIPTORS} | dict.fromkeys(_NOTHING, 0)
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
