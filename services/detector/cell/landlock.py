"""Landlock: of all files, only some folders are read; nothing is written, run, or signalled.

As the kernel's Documentation/userspace-api/landlock.rst describes it. Each version of its ABI can
refuse more; what this kernel knows is refused, and what it does not know is left to the others.
"""

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from services.detector.cell import linux

_VERSION = 1  # LANDLOCK_CREATE_RULESET_VERSION
_PATH_BENEATH = 1  # LANDLOCK_RULE_PATH_BENEATH
_ALL_THREADS = 1 << 3  # LANDLOCK_RESTRICT_SELF_TSYNC
_ALL_THREADS_SINCE = 8

_READ_FILE = 1 << 2
_READ_DIR = 1 << 3

_FILES_SINCE = {
    1: (1 << 13) - 1,  # execute, write, read, list, remove, and make anything
    2: 1 << 13,  # link or rename between folders
    3: 1 << 14,  # truncate
    5: 1 << 15,  # ioctl(2) on devices
    9: 1 << 16,  # connect to a Unix socket that has a path
}
_NETWORK_SINCE = {4: 0b11}  # bind and connect TCP
_SCOPE_SINCE = {6: 0b11}  # abstract Unix sockets of others; signals to others
"""Rights by the version of the ABI that can first refuse them: linux/landlock.h."""


def known(since: dict[int, int], abi: int) -> int:
    """The bits that a kernel of this version knows."""
    return sum(bits for version, bits in since.items() if version <= abi)


def attributes(abi: int) -> bytes:
    """`struct landlock_ruleset_attr` of this version: everything that it knows, to be refused."""
    words = [known(_FILES_SINCE, abi)]
    if abi >= min(_NETWORK_SINCE):
        words.append(known(_NETWORK_SINCE, abi))
    if abi >= min(_SCOPE_SINCE):
        words.append(known(_SCOPE_SINCE, abi))
    return struct.pack(f"={len(words)}Q", *words)


def allow_only(readable: Iterable[Path]) -> None:
    """From now on this process reads these files, and files below these folders, and no others.

    What is not there, or cannot be opened, is passed over. What is open already stays so.

    Raises:
        OSError: this kernel has no Landlock, or refused it.
    """
    abi = linux.call(linux.LANDLOCK_CREATE_RULESET, None, 0, _VERSION)
    refused = attributes(abi)
    rules = linux.call(linux.LANDLOCK_CREATE_RULESET, refused, len(refused), 0)
    try:
        for path in readable:
            _allow(rules, path)
        linux.call(linux.LANDLOCK_RESTRICT_SELF, rules, _threads_too(abi))
    finally:
        os.close(rules)


def _allow(rules: int, path: Path) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # as unreadable as it is without a rule
    try:
        rights = _READ_FILE | _READ_DIR if path.is_dir() else _READ_FILE
        rule = struct.pack("=Qi", rights, handle)  # struct landlock_path_beneath_attr, packed
        linux.call(linux.LANDLOCK_ADD_RULE, rules, _PATH_BENEATH, ctypes.c_char_p(rule), 0)
    finally:
        os.close(handle)


def _threads_too(abi: int) -> int:
    """The flag that also holds threads which are there already; older kernels have none."""
    if abi >= _ALL_THREADS_SINCE:
        return _ALL_THREADS
    if len(os.listdir("/proc/self/task")) > 1:  # noqa: PTH208 - names are all that is asked for
        raise OSError("threads were started before the cell was closed")
    return 0
