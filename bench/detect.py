"""CPU time of one picture, step by step, and beside OpenCV's own YuNet.

    python -m bench.detect [FOLDER] [--models DIR] [--size 640] [--rounds 3]

Both decode each file, scale it to the same size and search it, on one core, in turns; the boxes of
both are compared. Times are of CPU, the least of the rounds for each picture, so that a busy
machine disturbs them little.
"""

import argparse
import collections
import statistics
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from bench.average_precision import overlaps
from bench.material import (
    BESIDE,
    FIXED_YUNET,
    Weights,
    chosen_pictures,
    chosen_weights,
    fixed_yunet,
)
from bench.measuring import say
from services.detector.decode import decode, reduction
from services.detector.fuse import suppress
from services.detector.header import read_header
from services.detector.models import Detections, Model, Pixels, load
from services.detector.models.network import blob
from services.detector.picture import Limits, process
from services.detector.search import looks, scaled_down, search
from shared.model_table import MODELS
from shared.recipe import Mode, Recipe

MIN_SCORE = 0.3
LIMITS = Limits(max_pixels=10**9)


class OpenCV:
    """`cv2.FaceDetectorYN` with the same network of a fixed declared size."""

    name = "yunet"
    overlap = 0.45

    def __init__(self, weights: Path) -> None:
        self._detector = cv2.FaceDetectorYN.create(
            str(weights), "", (320, 320), MIN_SCORE, self.overlap
        )

    def detect(self, picture: Pixels, min_score: float) -> Detections:
        """See `services.detector.models.Model`."""
        self._detector.setScoreThreshold(min_score)
        self._detector.setInputSize((picture.shape[1], picture.shape[0]))
        _, found = self._detector.detect(picture)
        rows = np.zeros((0, 15), np.float32) if found is None else np.asarray(found, np.float32)
        return Detections(rows[:, :4], rows[:, 14], rows[:, 4:14])


@dataclass
class Difference:
    """How far the boxes of two detectors are apart, over all pictures."""

    pictures: int = 0
    explained: int = 0
    same: int = 0
    only_ours: int = 0
    only_theirs: int = 0
    pixels: float = 0.0
    score: float = 0.0

    def explain(self, candidates: Detections, overlap: float, theirs: Detections) -> None:
        """Count the picture if our candidates, suppressed as OpenCV does it, give OpenCV's list.

        It suppresses boxes truncated to whole pixels, and so keeps more of the smallest ones.
        """
        whole = Detections(
            np.trunc(candidates.boxes),
            candidates.scores,
            np.zeros((len(candidates), 0), np.float32),
        )
        kept = cv2.dnn.NMSBoxes(whole.boxes.tolist(), whole.scores.tolist(), MIN_SCORE, overlap)
        rows = np.asarray(kept, np.intp).reshape(-1)
        mine = np.column_stack([candidates.boxes, candidates.scores])[rows]
        other = np.column_stack([theirs.boxes, theirs.scores])
        if mine.shape == other.shape:
            self.explained += bool((np.abs(mine - other) < 0.01).all())

    def add(self, ours: Detections, theirs: Detections) -> None:
        """Compare what both found in one picture, each box with the one that it overlaps most."""
        self.pictures += 1
        if not len(ours) or not len(theirs):
            self.only_ours += len(ours)
            self.only_theirs += len(theirs)
            return
        shared = overlaps(ours.boxes.astype(float), theirs.boxes.astype(float))
        nearest = shared.argmax(axis=1)
        pairs = np.flatnonzero(shared.max(axis=1) > 0.8)
        self.same += len(pairs)
        self.only_ours += len(ours) - len(pairs)
        self.only_theirs += len(theirs) - len(np.unique(nearest[pairs]))
        apart = np.abs(ours.boxes[pairs] - theirs.boxes[nearest[pairs]])
        self.pixels = max(self.pixels, float(apart.max(initial=0)))
        scores = np.abs(ours.scores[pairs] - theirs.scores[nearest[pairs]])
        self.score = max(self.score, float(scores.max(initial=0)))


def prepared(content: bytes, size: int) -> tuple[Pixels, tuple[int, int]]:
    """The pixels to search, and their width and height, to which boxes refer."""
    header = read_header(content, LIMITS.max_pixels)
    small = scaled_down(decode(content, header, reduction(header, size)), size)
    return small, (small.shape[1], small.shape[0])


def searched(content: bytes, model: Model, size: int) -> Detections:
    """From bytes to boxes."""
    small, whole = prepared(content, size)
    wanted = looks(size, accurate=False, longest=max(whole))
    return search(model, lambda longest: scaled_down(small, longest), whole, wanted, MIN_SCORE)


def cpu_ms(work: Callable[[], object]) -> float:
    """CPU milliseconds of one call."""
    start = time.process_time()
    work()
    return (time.process_time() - start) * 1000


def compare(contents: list[bytes], ours: Model, theirs: Model, size: int, rounds: int) -> None:
    """Print both times, their ratio, and how far apart the boxes are."""
    difference = Difference()
    times: dict[Model, list[float]] = {ours: [], theirs: []}
    for content in contents:
        small, _ = prepared(content, size)
        candidates = ours.detect(small, MIN_SCORE)
        theirs_found = theirs.detect(small, MIN_SCORE)
        difference.add(suppress(candidates, MIN_SCORE, ours.overlap), theirs_found)
        difference.explain(candidates, ours.overlap, theirs_found)
        for model, taken in times.items():
            work = partial(searched, content, model, size)
            taken.append(min(cpu_ms(work) for _ in range(rounds)))
    mine, other = (statistics.mean(taken) for taken in times.values())
    print(f"decode to boxes at {size}, CPU ms an image, {len(contents)} pictures, one core:")
    print(f"  onnxruntime {mine:.1f}   cv2.FaceDetectorYN {other:.1f}   ratio {mine / other:.2f}")
    print(
        f"  {difference.same} boxes the same within {difference.pixels:.3f} pixels and "
        f"{difference.score:.5f} of score; {difference.only_ours} only ours, "
        f"{difference.only_theirs} only OpenCV's (scores from {MIN_SCORE})\n"
        f"  suppressing our candidates as OpenCV does, on whole pixels, gives exactly its list in "
        f"{difference.explained} of {difference.pictures} pictures"
    )


def padded_blob(picture: Pixels) -> object:
    """What OpenCV's own detector does before it runs its network."""
    below, right = -picture.shape[0] % 32, -picture.shape[1] % 32
    return cv2.dnn.blobFromImage(
        cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_CONSTANT)
    )


def steps(contents: list[bytes], name: str, model: Model, size: int) -> None:
    """Print the time of each step of `process`, and of the parts of a search."""
    recipe = Recipe(model=name, model_version=MODELS[name].version, detect_size=size, mode=Mode.BOX)
    total: dict[str, float] = collections.defaultdict(float)
    for content in contents:
        for step, ms in process(content, recipe, model, LIMITS).steps_ms.items():
            total[step] += ms
        header = read_header(content, LIMITS.max_pixels)
        stored = decode(content, header, reduction(header, size))
        small = scaled_down(stored, size)
        total["  of detect: scaling"] += cpu_ms(partial(scaled_down, stored, size))
        total["  of detect: planes"] += cpu_ms(partial(blob, small, rgb=False))
        total["  (padding and blobFromImage instead)"] += cpu_ms(partial(padded_blob, small))
        total["  of detect: planes, network, decoding"] += cpu_ms(
            partial(model.detect, small, recipe.min_score)
        )
    print("steps, ms an image:")
    for step, ms in total.items():
        print(f"  {step:40} {ms / len(contents):7.2f}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Compare, then show the steps."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.detect", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("folder", type=Path, nargs="?", help="pictures to search")
    parser.add_argument("--models", type=Path, help="folder of model weights")
    parser.add_argument("--size", type=int, default=640, help="longest side that is searched")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--sample", type=int, default=10_000, help="take at most this many pictures"
    )
    given = parser.parse_args(arguments)
    cv2.setNumThreads(1)
    weights = chosen_weights(given.models)
    model = load(weights.model, weights.folder)
    contents = readable(contents_of(given.folder, given.sample), weights.model, model)
    if why := no_comparison(weights, given.models):
        say(f"no comparison with cv2.FaceDetectorYN: {why}")
    else:
        theirs = fixed_yunet(given.models)
        assert theirs is not None
        compare(contents, model, OpenCV(theirs), given.size, given.rounds)
    steps(contents, weights.model, model, given.size)


def contents_of(given: Path | None, most: int) -> list[bytes]:
    """Pictures of the folder given, else the labelled ones beside the project, else samples."""
    labelled = BESIDE / "data" / "wider-val-100"
    if given is None and labelled.is_dir():
        given = labelled
    with tempfile.TemporaryDirectory(prefix="faces-bench-") as scratch:
        pictures = chosen_pictures(given, most, Path(scratch))
        return [file.read_bytes() for file in pictures]


def readable(contents: list[bytes], name: str, model: Model) -> list[bytes]:
    """Those that can be decoded; how many cannot is told."""
    recipe = Recipe(model=name, model_version=MODELS[name].version, mode=Mode.NONE)
    kept = [one for one in contents if process(one, recipe, model, LIMITS).status != "failed"]
    if len(kept) < len(contents):
        say(f"{len(contents) - len(kept)} of {len(contents)} pictures could not be read")
    if not kept:
        raise SystemExit("no picture could be read; name another folder")
    return kept


def no_comparison(weights: Weights, models: Path | None) -> str:
    """Why our search cannot be compared with OpenCV's own; '' if it can."""
    if weights.model != "yunet":
        return f"the model here is {weights.model}, not yunet"
    return "" if fixed_yunet(models) else f"{FIXED_YUNET} is absent: put it into models/"


if __name__ == "__main__":
    main()
