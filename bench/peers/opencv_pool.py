"""A bare process pool of `cv2.FaceDetectorYN`: no queue, no record, nothing to resume."""

import time
from functools import partial
from pathlib import Path

from bench.peers.driver import WORKERS, Round, contend, serve
from bench.peers.opencv_work import detector, process
from bench.peers.workers import Workers


def _one(out: str, path: str) -> tuple[str, list[list[float]]]:
    return path, process(path, out)


def main() -> None:
    """Serve rounds with a pool of fresh processes."""
    with Workers(WORKERS, detector) as workers:

        def work(pictures: list[Path], out: Path, _tell: bool) -> Round:
            began = time.perf_counter()
            boxes = dict(workers.each(partial(_one, str(out)), map(str, pictures)))
            seconds = time.perf_counter() - began
            return Round(seconds, len(boxes), sum(map(len, boxes.values())), boxes)

        serve(work)


if __name__ == "__main__":
    contend(main)
