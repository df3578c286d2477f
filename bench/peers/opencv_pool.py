"""A bare process pool of `cv2.FaceDetectorYN`: no queue, no record, nothing to resume."""

import multiprocessing
import time
from functools import partial
from pathlib import Path

from bench.peers.driver import WORKERS, Round, serve
from bench.peers.opencv_work import detector, process


def _one(out: str, path: str) -> tuple[str, list[list[float]]]:
    return path, process(path, out)


def main() -> None:
    """Serve rounds with a pool of fresh processes."""
    with multiprocessing.get_context("spawn").Pool(WORKERS, initializer=detector) as pool:

        def work(pictures: list[Path], out: Path, _: bool) -> Round:
            began = time.perf_counter()
            boxes = dict(pool.imap_unordered(partial(_one, str(out)), map(str, pictures)))
            seconds = time.perf_counter() - began
            return Round(seconds, len(boxes), sum(map(len, boxes.values())), boxes)

        serve(work)


if __name__ == "__main__":
    main()
