"""The system calls that decoding and searching a picture need, and nothing more.

Numbers are of Linux' arch/x86/entry/syscalls/syscall_64.tbl, and of include/uapi/asm-generic/
unistd.h for aarch64. A call that is in no table here is refused: sockets, processes, files to write
to, tracing, and whatever comes with newer kernels.
"""

import mmap
import os
import platform
import sys
from collections.abc import Mapping
from dataclasses import dataclass

from services.detector.cell.bpf import AllOf, Condition, NoneOf, OneOf

X86_64, AARCH64 = "x86_64", "aarch64"

AUDIT_ARCH = {X86_64: 0xC000003E, AARCH64: 0xC00000B7}
"""Architectures as the kernel names them to a filter: linux/audit.h."""

NEWEST = 450
"""The last call that was looked at. Whoever makes a newer one knows what to do without it."""

SECCOMP = {X86_64: 317, AARCH64: 277}
CLONE3 = 435
"""The same everywhere, as are all calls since 424. glibc goes on with `clone` without it, whose
flags a filter can read; those of `clone3` lie in memory."""

# linux/sched.h
_IS_THREAD = 0x00000100 | 0x00010000  # CLONE_VM, CLONE_THREAD
_NEW_NAMESPACE = (
    0x7E020080  # CLONE_NEWTIME, NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET
)
_NO_THREAD_HAS = _NEW_NAMESPACE | 0x00002000 | 0x00004000  # and CLONE_PTRACE, CLONE_VFORK

# include/uapi/asm-generic/fcntl.h: the same on both architectures.
_TO_WRITE = os.O_ACCMODE | os.O_CREAT | os.O_TRUNC | os.O_APPEND | 0o20000000  # __O_TMPFILE
_DESCRIPTOR_ONLY = (0, 1, 2, 3, 1030)  # F_DUPFD, F_GETFD, F_SETFD, F_GETFL, F_DUPFD_CLOEXEC
_IS_TERMINAL = 0x5401  # TCGETS, asm-generic/ioctls.h: asked by Python whenever it opens a file
_CLOSE_ON_EXEC = 0x5451  # FIOCLEX


@dataclass(frozen=True)
class Call:
    """A call by its numbers; None where an architecture has none of that name."""

    x86_64: int | None
    aarch64: int | None
    conditions: tuple[Condition, ...] = ()
    itself: int | None = None
    """The argument that must name this process."""

    def number(self, machine: str) -> int | None:
        return self.x86_64 if machine == X86_64 else self.aarch64


_MEMORY = {
    "mmap": Call(9, 222, (NoneOf(2, mmap.PROT_EXEC),)),
    "mprotect": Call(10, 226, (NoneOf(2, mmap.PROT_EXEC),)),
    "munmap": Call(11, 215),
    "mremap": Call(25, 216),
    "madvise": Call(28, 233),
    "brk": Call(12, 214),
}
_PIPES_AND_FILES = {
    "read": Call(0, 63),
    "write": Call(1, 64),
    "close": Call(3, 57),
    "lseek": Call(8, 62),
    "pread64": Call(17, 67),
    "readv": Call(19, 65),
    "writev": Call(20, 66),
    "recvmsg": Call(47, 212),  # on the only socket there is: a picture's descriptor comes by it
    "dup": Call(32, 23),
    "fcntl": Call(72, 25, (OneOf(1, _DESCRIPTOR_ONLY),)),
    "ioctl": Call(16, 29, (OneOf(1, (_IS_TERMINAL, _CLOSE_ON_EXEC)),)),
    "open": Call(2, None, (NoneOf(1, _TO_WRITE),)),
    "openat": Call(257, 56, (NoneOf(2, _TO_WRITE),)),
    "fstat": Call(5, 80),
    "stat": Call(4, None),
    "lstat": Call(6, None),
    "newfstatat": Call(262, 79),
    "statx": Call(332, 291),
    "access": Call(21, None),
    "faccessat": Call(269, 48),
    "readlink": Call(89, None),
    "readlinkat": Call(267, 78),
    "getdents64": Call(217, 61),
    "getcwd": Call(79, 17),
}
_SIGNALS = {
    "rt_sigaction": Call(13, 134),
    "rt_sigprocmask": Call(14, 135),
    "rt_sigreturn": Call(15, 139),
    "sigaltstack": Call(131, 132),
    "restart_syscall": Call(219, 128),
    "kill": Call(62, 129, itself=0),
    "tgkill": Call(234, 131, itself=0),
    "exit": Call(60, 93),
    "exit_group": Call(231, 94),
}
_THREADS = {
    "clone": Call(56, 220, (AllOf(0, _IS_THREAD), NoneOf(0, _NO_THREAD_HAS))),
    "set_robust_list": Call(273, 99),
    "rseq": Call(334, 293),
}
"""What a thread of this process takes, and no process: one that shares all memory and all signal
handlers. libde265 decodes no HEIC without one."""
_TIME_AND_SELF = {
    "futex": Call(202, 98),
    "clock_gettime": Call(228, 113),
    "clock_getres": Call(229, 114),
    "clock_nanosleep": Call(230, 115),
    "nanosleep": Call(35, 101),
    "gettimeofday": Call(96, 169),
    "time": Call(201, None),
    "times": Call(100, 153),
    "sched_yield": Call(24, 124),
    "sched_getaffinity": Call(204, 123),
    "getcpu": Call(309, 168),
    "getrandom": Call(318, 278),
    "getpid": Call(39, 172),
    "getppid": Call(110, 173),
    "gettid": Call(186, 178),
    "getuid": Call(102, 174),
    "geteuid": Call(107, 175),
    "getgid": Call(104, 176),
    "getegid": Call(108, 177),
    "getrusage": Call(98, 165),
    "getrlimit": Call(97, 163),
    "prlimit64": Call(302, 261, (OneOf(0, (0,)), OneOf(2, (0,)))),  # reads its own, sets none
    "uname": Call(63, 160),
    "sysinfo": Call(99, 179),
}

CALLS = _MEMORY | _PIPES_AND_FILES | _SIGNALS | _THREADS | _TIME_AND_SELF
"""Every call that passes, by its name."""


def machine() -> str:
    """This machine's architecture.

    Raises:
        OSError: there is no table of calls for it.
    """
    name = platform.machine()
    if name not in AUDIT_ARCH or sys.maxsize < 1 << 32:
        raise OSError(
            f"no table of system calls for {name} with {sys.maxsize.bit_length() + 1} bits"
        )
    return name


def conditions_by_number(of_machine: str, pid: int) -> Mapping[int, tuple[Condition, ...]]:
    """What passes on an architecture, in the process `pid`."""
    table: dict[int, tuple[Condition, ...]] = {}
    for call in CALLS.values():
        number = call.number(of_machine)
        if number is not None:
            own = () if call.itself is None else (OneOf(call.itself, (pid,)),)
            table[number] = call.conditions + own
    return table
