"""How a contender talks to the measurement: one line of JSON a request, one an answer.

Every contender is a program of its own. It prints `{"ready": true}` when its workers can begin,
answers each round with what it did, and ends when its standard input is closed; its log then holds
nothing, or ends with the reason why it failed. Standard library only: this runs in every
environment.
"""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path

WORKERS = int(os.environ.get("BENCH_WORKERS", "2"))
WITHOUT_PERSISTENCE = ("--save", "", "--appendonly", "no")
"""As the peers' guides have it."""


@dataclass
class Round:
    """One round: how long it took, and how many images and faces it brought to their end.

    `failed` of the images could not be read, where a contender tells. `boxes` holds x, y, width,
    height of each face in pixels by file, likewise.
    """

    seconds: float
    images: int
    faces: int
    boxes: dict[str, list[list[float]]] = field(default_factory=dict)
    failed: int = 0


def contend(main: Callable[[], None]) -> None:
    """Run a contender; if it fails, the last line on standard error is the reason.

    Raises:
        SystemExit: it failed, or was not started by a measurement.
    """
    if "BENCH_FOLDER" not in os.environ:
        raise SystemExit(
            "this program only answers `make bench`; to measure it alone: "
            "python -m bench.throughput --only NAME"
        )
    try:
        main()
    except Exception as error:  # noqa: BLE001 - whatever it is, the measurement tells it
        traceback.print_exc()
        raise SystemExit(reason(error)) from None


def reason(error: BaseException) -> str:
    """An error in one line: the first one inside a group, without what it consists of."""
    while isinstance(error, BaseExceptionGroup):
        error = error.exceptions[0]
    return f"{type(error).__name__}: {' '.join(str(error).split())}"


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
def server(command: list[str], port: int) -> Iterator[int]:
    """A server as a child process, from when it accepts connections to the end of the block.

    Yields its process id.

    Raises:
        RuntimeError: it ended, or accepted no connection for 20 s.
    """
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
        yield process.pid
    finally:
        process.terminate()
        process.wait()


@contextmanager
def own_redis(options: Sequence[str] = WITHOUT_PERSISTENCE) -> Iterator[tuple[str, int]]:
    """A Redis of our own on a free port of loopback; yields its URL and process id.

    The binary is BENCH_REDIS, else what is found in PATH.
    """
    binary = os.environ.get("BENCH_REDIS") or shutil.which("redis-server")
    if binary is None:
        raise RuntimeError("no redis-server in PATH: install one, or set BENCH_REDIS to its path")
    port = free_port()
    command = [binary, "--port", str(port), "--bind", "127.0.0.1", "--loglevel", "warning"]
    with server([*command, *options], port) as pid:
        yield f"redis://127.0.0.1:{port}/0", pid


@contextmanager
def program(command: list[str], environment: dict[str, str] | None = None) -> Iterator[None]:
    """A worker program as a child process, told to end (SIGTERM) with the block.

    Must be used in the main thread, which is interrupted in whatever it waits for if the program
    ends before.

    Raises:
        RuntimeError: it ended by itself.
    """
    # A shell that starts something in the background lets it ignore SIGINT.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    # Its output must not get between the answers.
    process = subprocess.Popen(command, stdout=2, env=os.environ | (environment or {}))
    wanted = threading.Event()
    ended = threading.Event()

    def watch() -> None:
        process.wait()
        if not wanted.is_set():
            ended.set()
            signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGINT)

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        yield
    except KeyboardInterrupt:
        if ended.is_set():
            name = Path(command[0]).name
            raise RuntimeError(f"{name} ended by itself with {process.returncode}") from None
        raise
    finally:
        wanted.set()
        process.terminate()
        watcher.join(10)
        if watcher.is_alive():
            process.kill()
            watcher.join()
        signal.signal(signal.SIGINT, before)


def beside_python(name: str) -> str:
    """A command that is installed in the environment of the running interpreter."""
    return str(Path(sys.executable).parent / name)
