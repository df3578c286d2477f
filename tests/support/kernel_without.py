"""`python -m tests.support.kernel_without landlock,seccomp PROGRAM ...`: as on an older kernel.

A filter answers the calls that it lacks with ENOSYS.
"""

import errno
import os
import sys
from pathlib import Path

import pytest

from services.detector.cell import bpf, calls, linux, seccomp


def install(*names: str) -> None:
    """From now on this process, and what it becomes, has a kernel without these."""
    machine = calls.machine()
    numbers = {
        "landlock": linux.LANDLOCK_CREATE_RULESET,
        "seccomp": calls.SECCOMP[machine],
        "capset": {calls.X86_64: 126, calls.AARCH64: 91}[machine],
    }
    made: list[bpf.Instruction] = [(bpf.LOAD, 0, 0, bpf.NUMBER)]
    for name in names:
        made += [(bpf.EQUAL, 0, 1, numbers[name]), (bpf.ANSWER, 0, 0, bpf.error(errno.ENOSYS))]
    linux.prctl(linux.PR_SET_NO_NEW_PRIVS, 1)
    seccomp.install([*made, (bpf.ANSWER, 0, 0, bpf.ALLOW)], machine)


def children_on(monkeypatch: pytest.MonkeyPatch, folder: Path, *without: str) -> None:
    """Have the children of this test's slots run on such a kernel."""
    if not without:
        return
    program = folder / "python-without"
    python = sys.executable
    program.write_text(
        f"#!/bin/sh\nexec '{python}' -m {__name__} {','.join(without)} '{python}' \"$@\"\n"
    )
    program.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(program))


if __name__ == "__main__":
    install(*sys.argv[1].split(","))
    os.execv(sys.argv[2], sys.argv[2:])
