"""The table of system calls, the program made of it on both architectures, and Landlock's bits."""

import errno
import mmap
import os
import re
import struct
from pathlib import Path

import pytest

from services.detector.cell import bpf, calls, landlock, seccomp

PID = 4321
BOTH = pytest.mark.parametrize("machine", [calls.X86_64, calls.AARCH64])
EPERM, ENOSYS = bpf.error(errno.EPERM), bpf.error(errno.ENOSYS)
X32 = 0x40000000


def answer(program: list[bpf.Instruction], architecture: int, number: int, *arguments: int) -> int:
    """What the kernel would answer: the few instructions that are used, one after the other."""
    words = [*arguments, *[0] * (6 - len(arguments))]
    data = struct.pack("<iIQ6Q", number, architecture, 0, *(word % (1 << 64) for word in words))
    at, held = 0, 0
    while True:
        code, yes, no, value = program[at]
        at += 1
        if code == bpf.LOAD:
            [held] = struct.unpack_from("<I", data, value)
        elif code == bpf.AND:
            held &= value
        elif code == bpf.EQUAL:
            at += yes if held == value else no
        elif code == bpf.ABOVE:
            at += yes if held > value else no
        else:
            assert code == bpf.ANSWER
            return value


def judged(machine: str, name: str, *arguments: int) -> int:
    number = calls.CALLS[name].number(machine)
    assert number is not None
    program = seccomp.filter_of(machine, PID)
    return answer(program, calls.AUDIT_ARCH[machine], number, *arguments)


@BOTH
def test_whatever_is_not_in_the_table_is_refused(machine: str) -> None:
    program, architecture = seccomp.filter_of(machine, PID), calls.AUDIT_ARCH[machine]
    allowed = {call.number(machine) for call in calls.CALLS.values()}
    for number in set(range(calls.NEWEST + 1)) - allowed - {calls.CLONE3}:
        assert answer(program, architecture, number) == EPERM, number
    for number in (calls.CLONE3, calls.NEWEST + 1, 9999, -1 % (1 << 31)):
        assert answer(program, architecture, number) == ENOSYS, number
    for number in range(calls.NEWEST + 200):
        assert answer(program, architecture, number | X32, 1, 1, 1) != bpf.ALLOW


@BOTH
def test_calls_by_the_numbers_of_another_architecture_end_the_process(machine: str) -> None:
    program = seccomp.filter_of(machine, PID)
    i386, arm = 0x40000003, 0x40000028
    others = {i386, arm, *calls.AUDIT_ARCH.values()} - {calls.AUDIT_ARCH[machine]}
    assert {answer(program, other, 1) for other in others} == {bpf.KILL}


@BOTH
def test_calls_without_conditions_pass_whatever_their_arguments(machine: str) -> None:
    program = seccomp.filter_of(machine, PID)
    for call in calls.CALLS.values():
        number = call.number(machine)
        if number is not None and not call.conditions and call.itself is None:
            most = [(1 << 64) - 1] * 6
            assert answer(program, calls.AUDIT_ARCH[machine], number, *most) == bpf.ALLOW


READ, WRITE, RUN = mmap.PROT_READ, mmap.PROT_WRITE, mmap.PROT_EXEC
THREAD = 0x003D0F00
"""Flags by which glibc starts a thread: CLONE_VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, SETTLS,
PARENT_SETTID, CHILD_CLEARTID."""
FORK = 0x01200011
"""Flags by which glibc forks: CLONE_CHILD_SETTID, CHILD_CLEARTID and SIGCHLD."""
NAMESPACES = (0x80, *(1 << bit for bit in (17, 25, 26, 27, 28, 29, 30)))

HIGH = 1 << 32
"""What a call that takes 32 bits does not look at."""


@BOTH
@pytest.mark.parametrize(
    ("name", "passes", "refused"),
    [
        ("mmap", [(0, 1, READ | WRITE)], [(0, 1, READ | RUN), (0, 1, RUN | HIGH)]),
        ("mprotect", [(0, 1, READ)], [(0, 1, RUN), (0, 1, READ | WRITE | RUN)]),
        (
            "openat",
            [(0, 1, os.O_RDONLY | os.O_CLOEXEC), (0, 1, os.O_DIRECTORY | os.O_NONBLOCK)],
            [
                (0, 1, flag)
                for flag in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_APPEND, 3)
            ]
            + [(0, 1, os.O_TMPFILE), (0, 1, os.O_CREAT | HIGH)],
        ),
        (
            "clone",
            [(THREAD, 1, 1, 1, 1), (THREAD | 1 << 23, 1)],
            [(flag,) for flag in (0, FORK, 0x4111, 0x100, 0x10000, 0x10800, 0x900, THREAD << 32)]
            + [(THREAD | flag,) for flag in (*NAMESPACES, 0x2000, 0x4000)],
        ),
        ("kill", [(PID, 9)], [(1, 9), (0, 9), (-1, 9), (-PID, 9), (PID | HIGH, 9)]),
        ("tgkill", [(PID, 7, 6)], [(7, PID, 6), (-1, PID, 6)]),
        ("prlimit64", [(0, 9, 0, 1)], [(0, 9, 1, 0), (0, 9, HIGH, 0), (PID, 9, 0, 1)]),
        ("ioctl", [(1, 0x5401)], [(1, 0x5412), (1, 0x541B), (1, 0)]),
        ("fcntl", [(1, 1), (1, 3), (1, 1030)], [(1, 4), (1, 8), (1, 1033), (1, 1 | HIGH)]),
    ],
)
def test_a_call_passes_with_harmless_arguments_alone(
    machine: str, name: str, passes: list[tuple[int, ...]], refused: list[tuple[int, ...]]
) -> None:
    assert {judged(machine, name, *arguments) for arguments in passes} == {bpf.ALLOW}
    assert {judged(machine, name, *arguments) for arguments in refused} == {EPERM}


HEADERS = {
    calls.X86_64: (
        "/usr/include/x86_64-linux-gnu/asm/unistd_64.h",
        "/usr/include/asm/unistd_64.h",
    ),
    calls.AARCH64: ("/usr/include/asm-generic/unistd.h",),
}


@BOTH
def test_numbers_are_those_of_the_kernels_headers(machine: str) -> None:
    header = next(filter(Path.is_file, map(Path, HEADERS[machine])), None)
    if header is None:
        pytest.skip("the kernel's headers are not installed")
    defined = re.findall(r"^#define __NR_?(?:3264)?_(\w+) (\d+)$", header.read_text(), re.M)
    numbers = {name: int(number) for name, number in defined}
    if machine == calls.AARCH64:
        numbers["newfstatat"] = numbers["fstatat"]
    for name, call in calls.CALLS.items():
        assert call.number(machine) == numbers.get(name), name
    assert calls.SECCOMP[machine] == numbers["seccomp"]
    assert numbers["clone3"] == calls.CLONE3


@pytest.mark.parametrize("machine", ["riscv64", "ppc64le", "armv7l"])
def test_an_architecture_without_a_table_is_told(
    machine: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.machine", lambda: machine)
    with pytest.raises(OSError, match=f"no table of system calls for {machine} with 64 bits"):
        calls.machine()


@pytest.mark.parametrize(
    ("abi", "words"),
    [
        (1, (0x1FFF,)),
        (2, (0x3FFF,)),
        (3, (0x7FFF,)),
        (4, (0x7FFF, 3)),
        (5, (0xFFFF, 3)),
        (6, (0xFFFF, 3, 3)),
        (8, (0xFFFF, 3, 3)),
        (9, (0x1FFFF, 3, 3)),
        (20, (0x1FFFF, 3, 3)),
    ],
)
def test_each_version_of_landlock_is_asked_for_all_that_it_knows(
    abi: int, words: tuple[int, ...]
) -> None:
    assert landlock.attributes(abi) == struct.pack(f"={len(words)}Q", *words)
