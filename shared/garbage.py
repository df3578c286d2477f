"""Memory of a long-lived process: when cycles are looked for, and what freed blocks become."""

import ctypes
import gc
from contextlib import suppress

ALLOCATIONS_BETWEEN = 50_000
"""Python's own 700 make it look several times in each batch: a seventh of a busy stage's time
(`bench.queue`), though messages hold no cycles."""

LARGE_BYTES = 1 << 20
ARENAS = 2
_M_MMAP_THRESHOLD, _M_ARENA_MAX = -3, -8  # malloc.h; the first grows by itself until it is set


def collect_seldom() -> None:
    """Call when a service is loaded: what is there by then is never looked through again."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(ALLOCATIONS_BETWEEN, 20, 100)


def give_back_large_blocks() -> None:
    """Have glibc give freed blocks of a mebibyte and more back to the system at once.

    By itself it keeps those of up to 32 MiB, in an arena for each of many threads: of 128 MiB of
    objects at a time 1 GB stayed with the process. Other allocators are left as they are.
    """
    with suppress(AttributeError, OSError):
        mallopt = ctypes.CDLL(None).mallopt
        mallopt(_M_MMAP_THRESHOLD, LARGE_BYTES)
        mallopt(_M_ARENA_MAX, ARENAS)
