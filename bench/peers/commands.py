"""Two contenders that are commands: `deface`, and `face_detection` of face_recognition.

A command loads its model each time. To judge it by its work, the time of the same command on one
tiny picture a worker is subtracted.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path

from PIL import Image

from bench.peers.driver import WORKERS, Round, beside_python, contend, serve

Boxes = dict[str, list[list[float]]]
LEAST_SIDE = 64


def deface(pictures: Sequence[Path], out: Path) -> Boxes:
    """One command a worker, each on its share; results land beside the (linked) inputs."""
    shares = [pictures[n::WORKERS] for n in range(WORKERS)]
    commands = [
        subprocess.Popen(
            [beside_python("deface"), *map(str, share)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        )
        for share in shares
        if share
    ]
    for command in commands:
        if command.wait() != 0:
            raise RuntimeError(f"deface ended with {command.returncode}")
    return {}


def deface_boxes(pictures: Sequence[Path]) -> Boxes:
    """What deface hides, asked of its detector: the command prints no boxes."""
    import cv2
    from deface.centerface import CenterFace

    centerface = CenterFace(in_shape=None, backend="auto")
    boxes: Boxes = {}
    for path in pictures:
        picture = cv2.imread(str(path))
        if picture is None:
            continue
        picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
        found, _ = centerface(picture, threshold=0.2)  # the command's default
        boxes[str(path)] = [[x1, y1, x2 - x1, y2 - y1] for x1, y1, x2, y2, _ in found.tolist()]
    return boxes


def face_detection(pictures: Sequence[Path], out: Path) -> Boxes:
    """The command with --cpus, on the folder of the pictures. It prints boxes and draws nothing."""
    folder = pictures[0].parent
    command = [beside_python("face_detection"), "--cpus", str(WORKERS), str(folder)]
    told = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True).stdout
    boxes: Boxes = defaultdict(list)
    for line in told.splitlines():
        name, *sides = line.rsplit(",", 4)
        top, right, bottom, left = map(float, sides)
        boxes[name].append([left, top, right - left, bottom - top])
    return dict(boxes)


def startup_seconds(command: Callable[[Sequence[Path], Path], Boxes]) -> float:
    """Seconds that the command takes for one tiny picture a worker: its start."""
    with tempfile.TemporaryDirectory() as folder:
        tiny = [Path(folder) / f"tiny{n}.jpg" for n in range(WORKERS)]
        for path in tiny:
            Image.new("RGB", (LEAST_SIDE, LEAST_SIDE)).save(path)
        began = time.perf_counter()
        command(tiny, Path(folder))
        return time.perf_counter() - began


def main() -> None:
    """Serve rounds with one of the two commands."""
    command = {"deface": deface, "face_detection": face_detection}[sys.argv[1]]
    command_start = min(startup_seconds(command) for _ in range(2))

    def work(pictures: list[Path], out: Path, tell: bool) -> Round:
        began = time.perf_counter()
        boxes = command(pictures, out)
        seconds = time.perf_counter() - began - command_start
        if command is deface and tell:
            boxes = deface_boxes(pictures)
        return Round(seconds, len(pictures), sum(map(len, boxes.values())), boxes)

    serve(work)


if __name__ == "__main__":
    contend(main)
