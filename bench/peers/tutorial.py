"""The 2011 tutorial's pipeline: pickled pictures through beanstalkd, Haar, ImageMagick.

Queuer, filters and database as the tutorial has them. The only addition is a note for each picture
that a filter drops because it has no face, so that the end of a round is known.
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
import greenstalk

from bench.peers.driver import WORKERS, Round, free_port, serve, server

MOST_BYTES = 64 << 20
RUN_SECONDS = 600
BEANSTALKD = "beanstalkd"
CONVERT = "convert"


def filter_pictures(port: int) -> None:
    """A filter: take a picture, find faces, draw, push it on."""
    cv2.setNumThreads(1)
    cascade = cv2.CascadeClassifier(
        str(Path(cv2.data.haarcascades) / "haarcascade_frontalface_default.xml")
    )
    queue = greenstalk.Client(("127.0.0.1", port), encoding=None, watch="images", use="faces")
    with tempfile.TemporaryDirectory() as folder:
        while True:
            job = queue.reserve()
            name, content = pickle.loads(job.body)
            source = Path(folder) / f"in{Path(name).suffix}"
            target = Path(folder) / "out.jpg"
            source.write_bytes(content)
            picture = cv2.imread(str(source))
            gray = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
            boxes = [
                [int(value) for value in box]
                for box in cascade.detectMultiScale(
                    gray, 1.2, 2, cv2.CASCADE_DO_CANNY_PRUNING, (50, 50)
                )
            ]
            drawn = b""
            if boxes:
                shapes = " ".join(f"rectangle {x},{y} {x + w},{y + h}" for x, y, w, h in boxes)
                style = ["-auto-orient", "-stroke", "red", "-fill", "none", "-draw", shapes]
                subprocess.run([CONVERT, source, *style, "-quality", "90", target], check=True)
                drawn = target.read_bytes()
            queue.put(pickle.dumps((name, boxes, drawn)), ttr=RUN_SECONDS)
            queue.delete(job)


def main() -> None:
    """Serve rounds: this process is the queuer and the database."""
    for command in (BEANSTALKD, CONVERT):
        if shutil.which(command) is None:
            raise SystemExit(f"{command} is not installed (Debian: beanstalkd, imagemagick)")
    told = subprocess.run([CONVERT, "-version"], stdout=subprocess.PIPE, text=True, check=False)
    if "ImageMagick" not in told.stdout:
        raise SystemExit("`convert` is not ImageMagick's")
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
            time.sleep(0.05)

        def work(pictures: list[Path], out: Path, _: bool) -> Round:
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
    main()
