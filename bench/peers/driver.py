"""How a contender talks to the measurement: one line of JSON a request, one an answer.

Every contender is a program of its own. It prints `{"ready": true}` when its workers can begin,
then answers each round with what it did; it ends when its standard input is closed. Standard
library only: this runs in every environment.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

WORKERS = int(os.environ.get("BENCH_WORKERS", "2"))


@dataclass
class Round:
    """One round: how long it took, how many images and faces it brought to their end.

    `boxes` holds x, y, width, height of each face by file, where a contender tells them.
    """

    seconds: float
    images: int
    faces: int
    boxes: dict[str, list[list[float]]] = field(default_factory=dict)


def serve(work: Callable[[list[Path], Path, bool], Round]) -> None:
    """Answer rounds until standard input is closed.

    `work` gets the pictures, an output folder, and whether boxes must be told (where that costs
    extra, it is not in the time).
    """
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what libraries print does not get between the answers
    answers.write(json.dumps({"ready": True}) + "\n")
    for line in sys.stdin:
        asked = json.loads(line)
        out = Path(asked["out"])
        out.mkdir(parents=True, exist_ok=True)
        done = work([Path(name) for name in asked["pictures"]], out, asked["tell"])
        answers.write(json.dumps(asdict(done)) + "\n")


def free_port() -> int:
    """A port of loopback that nobody holds now."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@contextmanager
def server(command: list[str], port: int) -> Iterator[None]:
    """A server as a child process, from when it accepts connections to the end of the block."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 20
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"{command[0]} did not start")
            time.sleep(0.02)
        yield
    finally:
        process.terminate()
        process.wait()


@contextmanager
def own_redis() -> Iterator[str]:
    """URL of a Redis of our own on a free port, without persistence, as the peers' guides have it.

    The binary is BENCH_REDIS, else what is found in PATH.
    """
    binary = os.environ.get("BENCH_REDIS") or shutil.which("redis-server")
    if binary is None:
        raise RuntimeError("no redis-server: set BENCH_REDIS to one")
    port = free_port()
    options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]
    with server([binary, *options, "--loglevel", "warning"], port):
        yield f"redis://127.0.0.1:{port}/0"


@contextmanager
def program(command: list[str], environment: dict[str, str] | None = None) -> Iterator[int]:
    """A worker program as a child, told to end (SIGTERM) with the block; yields its pid."""
    # Its output must not get between the answers.
    process = subprocess.Popen(command, stdout=2, env=os.environ | (environment or {}))
    try:
        yield process.pid
    finally:
        process.terminate()
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def beside_python(name: str) -> str:
    """A command that is installed in the environment of the running interpreter."""
    return str(Path(sys.executable).parent / name)
