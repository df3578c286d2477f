"""What a target of the fuzzer is: inputs in kinds, made from a number, and a way to try one."""

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass


@dataclass(frozen=True)
class Answer:
    """What became of one input.

    Attributes:
        text: a word or two, which are counted: a code, a format, a status.
        wrong: why this is a finding; '' where it is none.
        peak_bytes: what it took of memory at most, as far as the target knows.
        lost: processes that it cost.
    """

    text: str
    wrong: str = ""
    peak_bytes: int = 0
    lost: int = 0


Try = Callable[[str, bytes], Awaitable[Answer]]
"""Tries an input of a kind. It raises only where the fuzzer itself is at fault."""


@dataclass(frozen=True)
class Target:
    """One thing that strangers reach.

    Attributes:
        name: as the command line has it.
        about: what is tried, in a line.
        kinds: kinds of its inputs, which are tried in turn.
        make: an input, from its kind and number; the same pair gives the same bytes.
        open: what tries inputs, for the length of a block.
        at_once: how many are tried at the same time.
    """

    name: str
    about: str
    kinds: tuple[str, ...]
    make: Callable[[str, int], bytes]
    open: Callable[[], AbstractAsyncContextManager[Try]]
    at_once: int = 1
