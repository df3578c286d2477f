"""The 2011 tutorial's pipeline: pickled pictures through beanstalkd, Haar, ImageMagick.

Queuer, filters and database as the tutorial has them, with two additions: a message also for each
picture without a face, so that the end of a round is known, and no end at one that is unreadable.
"""

import multiprocessing
import os
import pickle
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import cv2
from cv2.typing import MatLike

from bench.peers.driver import WORKERS, Round, contend, free_port, serve, server

MOST_BYTES = 64 << 20
RUN_SECONDS = 600
BEANSTALKD = "beanstalkd"
CONVERT = "convert"
CASCADES = Path(cv2.__file__).parent / "data"


def filter_pictures(port: int) -> None:
    """A filter: take a picture, find faces, draw, push it on."""
    import greenstalk

    cv2.setNumThreads(1)
    cascade = cv2.CascadeClassifier(str(CASCADES / "haarcascade_frontalface_default.xml"))
    queue = greenstalk.Client(("127.0.0.1", port), encoding=None, watch="images", use="faces")
    with tempfile.TemporaryDirectory() as folder:
        while True:
            job = queue.reserve()
            name, content = pickle.loads(job.body)
            source = Path(folder) / f"in{Path(name).suffix}"
            target = Path(folder) / "out.jpg"
            source.write_bytes(content)
            boxes = faces_of(cascade, cv2.imread(str(source)))
            drawn = b""
            if boxes:
                shapes = " ".join(f"rectangle {x},{y} {x + w},{y + h}" for x, y, w, h in boxes)
                style = ["-auto-orient", "-stroke", "red", "-fill", "none", "-draw", shapes]
                subprocess.run([CONVERT, source, *style, "-quality", "90", target], check=True)
                drawn = target.read_bytes()
            queue.put(pickle.dumps((name, boxes, drawn)), ttr=RUN_SECONDS)
            queue.delete(job)


def faces_of(cascade: cv2.CascadeClassifier, picture: MatLike | None) -> list[list[int]]:
    """x, y, width, height of each face, by the tutorial's settings; none if unreadable (None)."""
    if picture is None:
        return []
    gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    found = cascade.detectMultiScale(gray, 1.2, 2, cv2.CASCADE_DO_CANNY_PRUNING, (50, 50))
    return [[int(value) for value in box] for box in found]


def main() -> None:
    """Serve rounds: this process is the queuer and the database."""
    import greenstalk

    for command in (BEANSTALKD, CONVERT):
        if shutil.which(command) is None:
            raise SystemExit(f"{command} is absent: apt install beanstalkd imagemagick")
    told = subprocess.run([CONVERT, "-version"], stdout=subprocess.PIPE, text=True, check=False)
    if "ImageMagick" not in told.stdout:
        raise SystemExit("the `convert` in PATH is not ImageMagick's")
    os.environ["MAGICK_THREAD_LIMIT"] = "1"  # as many filters as workers
    port = free_port()
    with server([BEANSTALKD, "-l", "127.0.0.1", "-p", str(port), "-z", str(MOST_BYTES)], port):
        spawn = multiprocessing.get_context("spawn")
        filters = [
            spawn.Process(target=filter_pictures, args=(port,), daemon=True) for _ in range(WORKERS)
        ]
        for one in filters:
            one.start()
        queuer = greenstalk.Client(("127.0.0.1", port), encoding=None, use="images")
        database = greenstalk.Client(("127.0.0.1", port), encoding=None, watch="faces")
        while int(queuer.stats()["current-waiting"]) < WORKERS:
            if not all(one.is_alive() for one in filters):
                raise RuntimeError("a filter ended at its start")
            time.sleep(0.05)

        def work(pictures: list[Path], out: Path, _tell: bool) -> Round:
            began = time.perf_counter()
            for path in pictures:
                queuer.put(pickle.dumps((str(path), path.read_bytes())), ttr=RUN_SECONDS)
            boxes: dict[str, list[list[float]]] = {}
            while len(boxes) < len(pictures):
                job = database.reserve(timeout=RUN_SECONDS)
                name, found, drawn = pickle.loads(job.body)
                if drawn:
                    (out / (Path(name).stem + ".jpg")).write_bytes(drawn)
                boxes[name] = found
                database.delete(job)
            seconds = time.perf_counter() - began
            return Round(seconds, len(boxes), sum(map(len, boxes.values())), boxes)

        serve(work)
        for one in filters:
            one.terminate()


if __name__ == "__main__":
    contend(main)
