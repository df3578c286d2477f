"""Average precision of every model, and of the tutorial's settings, on labelled pictures.

    python -m bench.accuracy [FOLDER] [--models DIR] [--curves FILE.svg] [--only NAME ...]

By the protocol of WIDER FACE over all detections of score 0.02 and more; precision, recall and F1
at the working threshold; CPU time of an image from bytes to boxes, on one core. The curves are
drawn as an SVG.
"""

import argparse
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from bench.average_precision import LEVELS, Curve, Found, Labels, curve, read_labels
from bench.curves import write_curves
from bench.material import OWN_MODELS, labelled_folder, model_folders
from bench.measuring import say
from services.detector.models import Model, load
from services.detector.models.haar import tutorial
from services.detector.picture import Limits, process
from shared.errors import FacesError
from shared.model_table import MODELS
from shared.recipe import Mode, Recipe

FAINTEST = 0.02
DATA = "wider-val-100"


@dataclass(frozen=True)
class Way:
    """One way to search: a line of the table."""

    title: str
    model: Model
    recipe: Recipe
    threshold: float


@dataclass(frozen=True)
class Measured:
    """What one way found in each picture, and its CPU milliseconds an image."""

    way: Way
    found: dict[str, Found]
    ms: float


def ways(models_dirs: list[Path], only: list[str]) -> Iterator[Way]:
    """Every model whose weights are here, by its default and its accurate search; the tutorial."""
    for name, entry in MODELS.items():
        if only and name not in only:
            continue
        model = _loaded(name, models_dirs)
        if model is None:
            continue
        recipe = Recipe(model=name, model_version=entry.version, min_score=FAINTEST, mode=Mode.NONE)
        yield Way(name, model, recipe, entry.min_score)
        if name != "haar":
            accurate = recipe.model_copy(update={"accurate": True})
            yield Way(f"{name} --accurate", model, accurate, entry.min_score)
    if not only or "tutorial" in only:
        whole = Recipe(
            model="haar", model_version="x", min_score=0, mode=Mode.NONE, detect_size=8192
        )
        yield Way("the tutorial (Haar, whole picture)", tutorial(), whole, 0)


def _loaded(name: str, models_dirs: list[Path]) -> Model | None:
    reason = ""
    for folder in models_dirs:
        try:
            return load(name, folder)
        except FacesError as error:
            reason = reason or str(error)
    say(f"{name} is left out: {reason}")
    return None


def measure(way: Way, folder: Path, labels: Mapping[str, Labels]) -> Measured:
    """Search every labelled picture of the folder."""
    contents = {name: (folder / name).read_bytes() for name in labels}
    limits = Limits(max_pixels=10**9)
    process(next(iter(contents.values())), way.recipe, way.model, limits)  # fills caches
    found = {}
    start = time.process_time()
    for name, content in contents.items():
        done = process(content, way.recipe, way.model, limits)
        if done.status == "failed":
            raise SystemExit(f"{folder / name}: {done.reason}")
        boxes = np.array([(face.x, face.y, face.w, face.h) for face in done.faces], float)
        scores = np.array([face.score for face in done.faces], float)
        found[name] = Found(boxes.reshape(-1, 4), scores)
    return Measured(way, found, (time.process_time() - start) * 1000 / len(labels))


def row(measured: Measured, curves: dict[str, Curve]) -> str:
    """A line of the table."""
    precisions = "  ".join(f"{curves[level].average_precision:6.3f}" for level in LEVELS)
    threshold = measured.way.threshold
    precision, recall = curves["hard"].at(threshold)
    f1 = 2 * precision * recall / (precision + recall) if precision + recall else 0.0
    best, score = curves["hard"].best_f1()
    return (
        f"{measured.way.title:36} {precisions}  {threshold:5.2f}  {precision:9.3f}  "
        f"{recall:6.3f}  {f1:5.3f}  {best:.3f} at {score:4.2f}  {measured.ms:6.1f}"
    )


HEAD = (
    f"{'':36} {'average precision':22}  {'at the working threshold (hard)':31}  {'best F1':13}"
    f"  CPU ms\n{'':36} {'  '.join(f'{level:>6}' for level in LEVELS)}  score  precision  "
    f"recall     F1  {'(hard)':13}  an image"
)


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table and write the curves.

    Raises:
        SystemExit: there are no labelled pictures, or none of the models asked for.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench.accuracy", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "folder", type=Path, nargs="?", help="labelled pictures, with a labels.json"
    )
    parser.add_argument("--models", type=Path, action="append", default=[], help="more weights")
    parser.add_argument("--curves", type=Path, default=Path("out/precision-recall.svg"))
    parser.add_argument("--only", nargs="*", default=[], choices=[*MODELS, "tutorial"])
    given = parser.parse_args(arguments)
    folder = labelled_folder(given.folder, DATA)
    if folder is None:
        where = given.folder or f"../shared/data/{DATA}"
        raise SystemExit(
            f"labelled pictures are needed, but {where} has no labels.json: "
            "name a folder that has one (make accuracy ARGS=FOLDER)"
        )
    cv2.setNumThreads(1)
    labels = read_labels(folder)
    faces = sum(len(picture.levels) for picture in labels.values())
    print(f"{folder}: {len(labels)} pictures, {faces} labelled faces\n\n{HEAD}")
    drawn: dict[str, dict[str, Curve]] = {}
    for way in ways([*given.models, OWN_MODELS, *model_folders(None)], given.only):
        measured = measure(way, folder, labels)
        drawn[way.title] = {level: curve(labels, measured.found, level) for level in LEVELS}
        print(row(measured, drawn[way.title]), flush=True)
    if not drawn:
        raise SystemExit("nothing could be measured: see above")
    given.curves.parent.mkdir(parents=True, exist_ok=True)
    write_curves(given.curves, drawn)
    print(f"\nprecision-recall curves: {given.curves}")


if __name__ == "__main__":
    main()
