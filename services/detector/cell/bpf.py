"""A table of system calls to the program by which the kernel judges each call.

Classic BPF over `struct seccomp_data`, as the kernel's Documentation/userspace-api/
seccomp_filter.rst describes it. The program is a list: each call has its few instructions, which
are passed over where another call is made, and which end in an answer.
"""

import struct
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

Instruction = tuple[int, int, int, int]
"""Code, jumps if true and if false, and a value: `struct sock_filter` of linux/filter.h."""

LOAD = 0x20  # BPF_LD | BPF_W | BPF_ABS
AND = 0x54  # BPF_ALU | BPF_AND | BPF_K
EQUAL = 0x15  # BPF_JMP | BPF_JEQ | BPF_K
ABOVE = 0x25  # BPF_JMP | BPF_JGT | BPF_K
ANSWER = 0x06  # BPF_RET | BPF_K

NUMBER, ARCHITECTURE, ARGUMENTS = 0, 4, 16
"""Offsets in `struct seccomp_data`."""

ALLOW = 0x7FFF0000  # SECCOMP_RET_ALLOW
KILL = 0x80000000  # SECCOMP_RET_KILL_PROCESS
_ERRNO = 0x00050000  # SECCOMP_RET_ERRNO


@dataclass(frozen=True)
class OneOf:
    """A call passes only with one of these values in this argument."""

    argument: int
    values: tuple[int, ...]

    def check(self, refused: int) -> Iterator[Instruction]:
        """Goes on behind itself where it holds. Both halves count: on 64 bits of little endian
        the low half lies first."""
        count = len(self.values)
        yield (LOAD, 0, 0, ARGUMENTS + 8 * self.argument)
        for index, value in enumerate(self.values):
            yield (EQUAL, count - index, 0, value)
        yield (ANSWER, 0, 0, refused)
        yield (LOAD, 0, 0, ARGUMENTS + 8 * self.argument + 4)
        yield (EQUAL, 1, 0, 0)
        yield (ANSWER, 0, 0, refused)


@dataclass(frozen=True)
class NoneOf:
    """A call passes only with none of these bits in the low half of this argument."""

    argument: int
    bits: int

    def check(self, refused: int) -> Iterator[Instruction]:
        """As `OneOf.check`."""
        yield (LOAD, 0, 0, ARGUMENTS + 8 * self.argument)
        yield (AND, 0, 0, self.bits)
        yield (EQUAL, 1, 0, 0)
        yield (ANSWER, 0, 0, refused)


@dataclass(frozen=True)
class AllOf:
    """A call passes only with all of these bits in the low half of this argument."""

    argument: int
    bits: int

    def check(self, refused: int) -> Iterator[Instruction]:
        """As `OneOf.check`."""
        yield (LOAD, 0, 0, ARGUMENTS + 8 * self.argument)
        yield (AND, 0, 0, self.bits)
        yield (EQUAL, 1, 0, self.bits)
        yield (ANSWER, 0, 0, refused)


Condition = OneOf | NoneOf | AllOf


def error(number: int) -> int:
    """The answer by which a call fails with this error."""
    return _ERRNO | number


def program(
    architecture: int,
    calls: Mapping[int, Iterable[Condition]],
    *,
    refused: int,
    answers: Mapping[int, int],
    newest: int,
    unknown: int,
) -> list[Instruction]:
    """Instructions that allow these calls by their numbers, where their conditions hold.

    Every other one gets the answer `refused`, but for those in `answers`, and for those above the
    number `newest`, which get `unknown`. A call by the numbers of another architecture ends the
    process.
    """
    made: list[Instruction] = [
        (LOAD, 0, 0, ARCHITECTURE),
        (EQUAL, 1, 0, architecture),
        (ANSWER, 0, 0, KILL),
        (LOAD, 0, 0, NUMBER),
    ]
    for number, conditions in calls.items():
        checks = [step for one in conditions for step in one.check(refused)]
        made += [(EQUAL, 0, len(checks) + 1, number), *checks, (ANSWER, 0, 0, ALLOW)]
    for number, answer in answers.items():
        made += [(EQUAL, 0, 1, number), (ANSWER, 0, 0, answer)]
    return [*made, (ABOVE, 0, 1, newest), (ANSWER, 0, 0, unknown), (ANSWER, 0, 0, refused)]


def packed(instructions: Iterable[Instruction]) -> bytes:
    """The program as the kernel reads it."""
    return b"".join(struct.pack("=HBBI", *one) for one in instructions)
