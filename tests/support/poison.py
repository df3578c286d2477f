"""What test children run instead of the detector: the picture's bytes say what becomes of it."""

import ctypes
import fcntl
import json
import os
import resource
import signal
import stat
import struct
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NoReturn

import cv2
import numpy as np

from services.detector.models import Model
from services.detector.picture import Limits, Processed
from services.detector.pipe import Config
from shared.errors import ModelMissing
from shared.messages import Face
from shared.reasons import Reason
from shared.recipe import Recipe
from tests.support.open_cell import leave_cell_open

BREAK = "loading-fails"
"""A file of this name in the models' folder makes every model fail to load."""


def poisoned(models_dir: Path) -> Config:
    """For children that run this module, with a gibibyte each."""
    return Config(
        model="yunet",
        models_dir=models_dir,
        memory_bytes=1 << 30,
        max_pixels=1_000_000,
        max_file_bytes=1_000_000,
        process="tests.support.poison:process",
        load="tests.support.poison:load",
    )


def load(name: str, models_dir: Path) -> Model | None:
    if (models_dir / BREAK).exists() or name == "centerface":
        raise ModelMissing(f"model {name}: run `faces models pull {name}`")
    return None


def load_in_open_cell(name: str, models_dir: Path) -> Model | None:
    """For children that tell by files what they do."""
    leave_cell_open()
    return load(name, models_dir)


def process(
    content: bytes,
    recipe: Recipe,
    model: Model,
    limits: Limits,
    decoded: Callable[[], None],
) -> Processed:
    action, _, argument = content.decode().partition(" ")
    if action == "decoded":  # the next request may come now
        decoded()
        return process(argument.encode(), recipe, model, limits, decoded)
    if action == "wait":  # for a file, which says what to do then
        while not (gate := Path(argument)).exists():
            time.sleep(0.002)
        return process(gate.read_bytes(), recipe, model, limits, decoded)
    if action == "limits":
        return Processed("failed", repr(limits), code=Reason.ERROR)
    answer = ACTIONS[action](argument)
    return answer if isinstance(answer, Processed) else Processed("no_faces")


def hang(_: str) -> NoReturn:
    while True:
        time.sleep(60)


def allocate(_: str) -> NoReturn:
    held = []
    while True:
        held.append(np.ones(1 << 24, np.uint8))


def allocate_in_opencv(_: str) -> None:
    cv2.resize(np.zeros((2, 2, 3), np.uint8), (60_000, 60_000))


def fail(text: str) -> NoReturn:
    raise RuntimeError(text)


def print_everywhere(text: str) -> None:
    print(text)
    sys.stdout.flush()
    os.write(1, text.encode() * 1000)
    libc = ctypes.CDLL(None)
    libc.puts(text.encode())
    libc.fflush(None)


def babble(_: str) -> None:
    for descriptor in range(3, 30):
        with suppress(OSError):
            os.write(descriptor, b"GET / HTTP/1.1\r\n" * 10)


def answer_unasked(_: str) -> None:
    """Answer, and then answer once more."""
    header = b'{"kind":"done","status":"no_faces"}'
    for descriptor in range(3, 30):
        with suppress(OSError):
            os.write(descriptor, struct.pack(">IQ", len(header), 0) + header)


def flood(told: str) -> None:
    """From now on write without end: to standard error (2), or (1) to whatever is a way out; and
    into a file which thread does so, and how many bytes were taken: in an open cell. It begins when
    that file is there, since what is sent before the answer would be taken for it."""
    number, _, file = told.partition(" ")
    out = 2 if number == "2" else max(ways_out())

    def write() -> None:
        written = 0
        while not Path(file).exists():
            time.sleep(0.01)
        while True:
            written += os.write(out, b"x" * 4096)
            Path(file).write_text(f"{threading.get_native_id()} {written}")

    threading.Thread(target=write, daemon=True).start()


def ways_out() -> list[int]:
    """Pipes that can be written to: the last is the one that answers take."""
    found = []
    for number in map(int, os.listdir("/proc/self/fd")):
        with suppress(OSError):
            is_pipe = stat.S_ISFIFO(os.fstat(number).st_mode)
            if number > 2 and is_pipe and fcntl.fcntl(number, fcntl.F_GETFL) & os.O_WRONLY:
                found.append(number)
    return found


def close_door(_: str) -> None:
    """Close every socket, as one may do that was taken over."""
    for number in range(1024):
        with suppress(OSError):
            if stat.S_ISSOCK(os.fstat(number).st_mode):
                os.close(number)


def tell(_: str) -> Processed:
    """What the process is like, as JSON instead of an annotated picture: it can write no file."""
    told = {
        "environment": dict(os.environ),
        "address_space": resource.getrlimit(resource.RLIMIT_AS)[0],
        "core": resource.getrlimit(resource.RLIMIT_CORE)[0],
        "opencv_threads": cv2.getNumThreads(),
        "stdin": os.read(0, 1).decode(),
    }
    return faces("", json.dumps(told).encode())


def faces(_: str, annotated: bytes = b"annotated") -> Processed:
    face = Face(x=1, y=2, w=3, h=4, score=0.9)
    return Processed("faces", "", 20, 10, "PNG", (face,), annotated, (b"crop",), {"detect": 5})


ACTIONS: dict[str, Callable[[str], object]] = {
    "ok": lambda _: None,
    "faces": faces,
    "damaged": lambda text: Processed("failed", text or "it is damaged", code=Reason.DAMAGED),
    "signal": lambda number: os.kill(os.getpid(), signal.Signals(int(number))),
    "exit": lambda status: os._exit(int(status)),
    "hang": hang,
    "allocate": allocate,
    "allocate_in_opencv": allocate_in_opencv,
    "fail": fail,
    "print": print_everywhere,
    "babble": babble,
    "close": close_door,
    "unasked": answer_unasked,
    "flood": flood,
    "tell": tell,
}
