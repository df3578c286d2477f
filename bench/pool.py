"""The limit: a bare process pool that runs the detector's own per-image function.

Bytes are in the memory of every worker before a round begins; nothing is queued, stored or
recorded, and only boxes come back. A contender of `bench.throughput`.
"""

import os
import time
from pathlib import Path

import cv2

from bench.peers.driver import WORKERS, Round, contend, serve
from bench.peers.workers import Workers
from services.cli.options.recipe import make_recipe
from services.detector.environment import KEPT_MEMORY
from services.detector.models import Model, load
from services.detector.picture import Limits, process
from shared.recipe import Recipe
from shared.settings import Settings


class Worker:
    """What one process of the pool holds: the model, the recipe, the bytes of each file."""

    def __init__(self) -> None:
        settings = Settings.load()
        cv2.setNumThreads(1)
        self.recipe: Recipe = make_recipe(settings.model, {})
        self.model: Model = load(settings.model, settings.models_dir)
        self.limits = Limits(settings.max_pixels)
        self.contents: dict[Path, bytes] = {}

    def one(self, path: Path) -> list[list[float]] | None:
        """Decode, detect, draw and encode, as a slot does; None for what cannot be read."""
        done = process(self.content(path), self.recipe, self.model, self.limits)
        if done.status == "failed":
            return None
        return [[face.x, face.y, face.w, face.h] for face in done.faces]

    def content(self, path: Path) -> bytes:
        """The bytes of one picture, held from the first time on."""
        if path not in self.contents:
            self.contents[path] = path.read_bytes()
        return self.contents[path]


_worker: list[Worker] = []


def _begin() -> None:
    _worker.append(Worker())


def _hold(paths: list[Path]) -> int:
    for path in paths:
        _worker[0].content(path)
    return os.getpid()


def _one(paths: tuple[str, Path]) -> tuple[str, list[list[float]] | None]:
    name, path = paths
    return name, _worker[0].one(path)


def main() -> None:
    """Serve rounds. Links to one file share its content."""
    os.environ |= KEPT_MEMORY  # as the detector's own processes have it
    with Workers(WORKERS, _begin) as workers:

        def work(pictures: list[Path], _out: Path, _tell: bool) -> Round:
            kept: dict[int, Path] = {}
            named = [(str(path), kept.setdefault(path.stat().st_ino, path)) for path in pictures]
            holding: set[int] = set()
            while len(holding) < WORKERS:  # until every process has them, in whatever turn
                holding.update(workers.each(_hold, [list(kept.values())] * WORKERS))
            began = time.perf_counter()
            done = list(workers.each(_one, named))
            seconds = time.perf_counter() - began
            boxes = {name: found for name, found in done if found is not None}
            failed = len(done) - len(boxes)
            return Round(seconds, len(done), sum(map(len, boxes.values())), boxes, failed)

        serve(work)


if __name__ == "__main__":
    contend(main)
