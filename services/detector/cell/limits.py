"""Limits of a child that it cannot raise again: setrlimit(2), soft and hard alike."""

import resource

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
        OSError: the system refused one of the limits.
    """
    wanted = {"AS": address_space, "NOFILE": DESCRIPTORS} | dict.fromkeys(_NOTHING, 0)
    for name, value in wanted.items():
        kind = getattr(resource, f"RLIMIT_{name}", None)
        if kind is not None:
            _lower(kind, value)
    if linux.ON_LINUX:
        linux.drop_capabilities()
        linux.hide_memory()


def _lower(kind: int, value: int) -> None:
    _, hard = resource.getrlimit(kind)
    if hard != resource.RLIM_INFINITY:
        value = min(value, hard)
    try:
        resource.setrlimit(kind, (value, value))
    except ValueError as error:  # macOS, of a limit that is below what is in use
        raise OSError(0, str(error)) from None
