"""A process that tries inputs with one function; a crash, a loop, a flood of memory end it alone.

    python -m tests.fuzz.isolated MODULE:FUNCTION

The function takes a kind and bytes, and returns a word or two; whatever it raises is a finding.
"""

import asyncio
import json
import os
import resource
import signal
import struct
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import BinaryIO

from tests.fuzz.target import Answer, Try

_PREFIX = struct.Struct(">II")

WALL_SECONDS = 120.0
"""The end of one that waits for something; loops are ended by the limit of their CPU time."""


@dataclass(frozen=True)
class Limits:
    """What one input may cost: seconds of CPU, and bytes of memory beyond those held before."""

    cpu_seconds: float
    memory_bytes: int


class _Worker:
    """The process, started anew after its end."""

    def __init__(self, function: str, limits: Limits) -> None:
        self._function = function
        self._limits = limits
        self._process: asyncio.subprocess.Process | None = None

    async def try_one(self, kind: str, content: bytes) -> Answer:
        """What the function makes of an input."""
        if self._process is None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "tests.fuzz.isolated"),
                *(self._function, str(self._limits.cpu_seconds)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
            )
        process = self._process
        assert process.stdin and process.stdout
        named = kind.encode()
        try:
            async with asyncio.timeout(WALL_SECONDS):
                process.stdin.write(_PREFIX.pack(len(named), len(content)) + named + content)
                line = await process.stdout.readline()
        except TimeoutError:
            await self.end()
            return Answer("hangs", f"no answer in {WALL_SECONDS:g} s", lost=1)
        if not line:
            return await self._ended()
        return self._judged(json.loads(line))

    async def _ended(self) -> Answer:
        assert self._process is not None
        status = await self._process.wait()
        self._process = None
        if status == -signal.SIGXCPU:
            limit = f"took more than {self._limits.cpu_seconds:g} s of CPU"
            return Answer("too slow", limit, lost=1)
        return Answer("crash", f"ended its process, status {status}", lost=1)

    def _judged(self, told: dict[str, str | float]) -> Answer:
        peak = int(told["peak"])
        wrong = str(told["raised"])
        if not wrong and float(told["cpu"]) > self._limits.cpu_seconds:
            wrong = f"took {told['cpu']:.1f} s of CPU"
        if not wrong and peak > self._limits.memory_bytes:
            wrong = f"took {peak >> 20} MiB"
        return Answer(str(told["text"]), wrong, peak)

    async def end(self) -> None:
        """End the process."""
        if self._process is not None:
            if self._process.returncode is None:
                self._process.kill()
            await self._process.wait()
            self._process = None


@asynccontextmanager
async def isolated(function: str, limits: Limits) -> AsyncIterator[Try]:
    """Tries inputs with `module:function`, each within the limits."""
    worker = _Worker(function, limits)
    try:
        yield worker.try_one
    finally:
        await worker.end()


def _memory(field: str) -> int:
    """A line of /proc/self/status that is in kB, in bytes; 0 where there is no such file."""
    status = Path("/proc/self/status")
    if not status.exists():
        return 0
    return int(status.read_text().partition(f"{field}:")[2].split()[0]) << 10


def _forget_the_peak() -> None:
    if (file := Path("/proc/self/clear_refs")).exists():
        file.write_text("5")  # proc(5): resets the high-water mark of resident memory


def _tried(function: Callable[[str, bytes], str], kind: str, content: bytes) -> dict[str, object]:
    _forget_the_peak()
    held, start = _memory("VmRSS"), time.process_time()
    text, raised = "raised", ""
    try:
        text = function(kind, content)
    except Exception as error:  # noqa: BLE001 - that it raises what nobody foresaw is the finding
        raised = f"{type(error).__name__}: {error}"[:500]
    cpu = time.process_time() - start
    peak = max(0, _memory("VmHWM") - held)
    return {"text": text, "raised": raised, "cpu": cpu, "peak": peak}


def _serve(function: Callable[[str, bytes], str], cpu: float, ask: BinaryIO, say: BinaryIO) -> None:
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    while len(prefix := ask.read(_PREFIX.size)) == _PREFIX.size:
        kind, content = (ask.read(size) for size in _PREFIX.unpack(prefix))
        # Whole seconds, and this process has used some: so what stays within `cpu` is not ended.
        resource.setrlimit(resource.RLIMIT_CPU, (int(time.process_time() + cpu) + 2, hard))
        say.write(json.dumps(_tried(function, kind.decode(), content)).encode() + b"\n")
        say.flush()


def main() -> None:
    """Try what standard input gives."""
    module, _, name = sys.argv[1].partition(":")
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _serve(getattr(import_module(module), name), float(sys.argv[2]), sys.stdin.buffer, answers)


if __name__ == "__main__":
    main()
