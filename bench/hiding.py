"""How many labelled faces the defaults of hiding cover, beside `deface`.

    python -m bench.hiding [FOLDER ...] [--accurate] [--size N ...] [--deface PYTHON]

A face is *covered* when at least 90 % of the ellipse inscribed in its labelled box lies in the core
of what is hidden, where nothing of it is seen; the same for all. Faces of which both sides are 20
pixels and more count. A *false box* is one that overlaps no labelled face of any size by half
(intersection over union). CPU time is from bytes to boxes, of all threads. `--deface` is the Python
of an environment with deface and onnxruntime.
"""

import argparse
import json
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from bench.material import OWN_MODELS, labelled_folder, model_folders
from bench.scoring import Box, labels_of, score
from services.detector.models import Model, load
from services.detector.picture import Limits, process
from services.detector.shapes import SHAPES
from shared.errors import FacesError
from shared.messages import Face
from shared.model_table import MODELS
from shared.recipe import Mode, Recipe, Shape

DATA = ("wider-val-100", "voc-faces-12")
LEAST_SIDE = 20
COVERED = 0.9
FAINTEST = 0.15
SIZES = (640, 960, 1280)
SCORES = (0.75, 0.6, 0.5, 0.4, 0.37, 0.3, 0.2)

DEFACE = """
import json, resource, sys
import cv2
from deface.centerface import CenterFace
model, told = CenterFace(), {}
names = json.load(sys.stdin)
def spent():
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime
model(cv2.imread(names[0])[..., ::-1].copy(), threshold=0.2)
start = spent()
for name in names:
    found, _ = model(cv2.imread(name)[..., ::-1].copy(), threshold=0.2)
    told[name] = [[float(x) for x in one[:4]] for one in found]
print(json.dumps({"boxes": told, "seconds": spent() - start}))
"""
"""What its command does with a picture, at its default threshold; it prints no boxes itself."""

DEFACE_SCALE = 1.3
"""Its default mask: each side of a box moves out by 0.3 of it; an ellipse inscribed in that."""


@dataclass(frozen=True)
class Searched:
    """Boxes (x, y, width, height) and scores of each picture; CPU milliseconds an image."""

    boxes: dict[str, list[Box]]
    scores: dict[str, list[float]]
    ms: float


def with_faces(
    folder: Path, names: Sequence[str], model: Model, size: int, accurate: bool
) -> Searched:
    """Our own search at one size, of all that scores `FAINTEST` and more."""
    recipe = Recipe(
        model="yunet",
        model_version=MODELS["yunet"].version,
        min_score=FAINTEST,
        mode=Mode.NONE,
        detect_size=size,
        accurate=accurate,
    )
    contents = {name: (folder / name).read_bytes() for name in names}
    limits = Limits(max_pixels=10**9)
    process(contents[names[0]], recipe, model, limits)  # fills caches
    start = time.process_time()
    found = {name: process(one, recipe, model, limits).faces for name, one in contents.items()}
    ms = (time.process_time() - start) * 1000 / len(names)
    boxes: dict[str, list[Box]] = {
        name: [(one.x, one.y, one.w, one.h) for one in faces] for name, faces in found.items()
    }
    return Searched(boxes, {n: [one.score for one in faces] for n, faces in found.items()}, ms)


def with_deface(folder: Path, names: Sequence[str], python: str) -> Searched:
    """What deface finds."""
    asked = json.dumps([str(folder / name) for name in names])
    done = subprocess.run(
        [python, "-c", DEFACE], input=asked, capture_output=True, text=True, check=True
    )
    told = json.loads(done.stdout.splitlines()[-1])
    boxes: dict[str, list[Box]] = {
        Path(name).name: [(a, b, c - a, d - b) for a, b, c, d in found]
        for name, found in told["boxes"].items()
    }
    return Searched(boxes, {}, told["seconds"] * 1000 / len(names))


def core(size: tuple[int, int], boxes: Sequence[Box], shape: Shape | None) -> NDArray[np.bool_]:
    """What is hidden of a picture of this width and height; by deface without a shape."""
    width, height = size
    hidden = np.zeros((height, width), bool)
    for x, y, w, h in boxes:
        if shape is None:
            grow = DEFACE_SCALE - 1
            _inscribed(hidden, (x - w * grow, y - h * grow, w * (1 + 2 * grow), h * (1 + 2 * grow)))
            continue
        cover = SHAPES[shape](Face(x=x, y=y, w=w, h=h, score=1, landmarks=()), 0.1, width, height)
        extent = cover.extent
        rows = np.arange(extent.top, extent.bottom)
        columns = np.arange(extent.left, extent.right)
        part = hidden[extent.top : extent.bottom, extent.left : extent.right]
        part |= cover.core(rows, columns)
    return hidden


def _inscribed(mask: NDArray[np.bool_], box: Box) -> None:
    """Add the ellipse inscribed in a box to a mask."""
    part, ellipse = _part(mask, box)
    part |= ellipse


def _part(mask: NDArray[np.bool_], box: Box) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """The part of a mask below a box (a view), and the ellipse inscribed in the box there."""
    height, width = mask.shape
    x, y, w, h = box
    left, top = min(max(0, int(x)), width), min(max(0, int(y)), height)
    right, bottom = max(left, min(width, int(x + w) + 1)), max(top, min(height, int(y + h) + 1))
    rows = (np.arange(top, bottom) + 0.5 - y - h / 2) / (h / 2)
    columns = (np.arange(left, right) + 0.5 - x - w / 2) / (w / 2)
    return mask[top:bottom, left:right], rows[:, None] ** 2 + columns**2 <= 1


def covered(hidden: NDArray[np.bool_], face: Box) -> bool:
    """Whether a labelled face is covered."""
    part, ellipse = _part(hidden, face)
    return bool((ellipse & part).sum() >= COVERED * ellipse.sum())


def line(
    title: str,
    found: Searched,
    least: float,
    shape: Shape | None,
    labels: Mapping[str, Sequence[Box]],
    sizes: Mapping[str, tuple[int, int]],
) -> str:
    """A line of the table."""
    kept = {
        name: [
            box
            for box, sure in zip(boxes, found.scores.get(name, [1.0] * len(boxes)), strict=True)
            if sure >= least
        ]
        for name, boxes in found.boxes.items()
    }
    faces = hits = 0
    for name, labelled in labels.items():
        hidden = core(sizes[name], kept[name], shape)
        counted = [face for face in labelled if min(face[2], face[3]) >= LEAST_SIDE]
        faces += len(counted)
        hits += sum(covered(hidden, face) for face in counted)
    others = score(kept, labels).others
    share = 100 * hits / faces if faces else 0.0
    return f"{title:54} {hits:5} of {faces:5}  {share:5.1f} %  {others:11}  {found.ms:8.1f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Print a table a folder.

    Raises:
        SystemExit: there are no labelled pictures, or no weights.
    """
    parser = argparse.ArgumentParser(
        prog="python -m bench.hiding", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("folders", type=Path, nargs="*", help="pictures, with a labels.json")
    parser.add_argument("--accurate", action="store_true", help="search as --accurate does")
    parser.add_argument("--size", type=int, nargs="+", default=SIZES, help="as --detect-size")
    parser.add_argument("--deface", default="", help="Python of an environment with deface")
    given = parser.parse_args(arguments)
    folders = given.folders or [labelled_folder(None, data) for data in DATA]
    model = _model()
    cv2.setNumThreads(1)
    for folder in folders:
        if folder is None or not (folder / "labels.json").is_file():
            raise SystemExit("labelled pictures are needed: name folders that have a labels.json")
        labels = labels_of(folder / "labels.json")
        sizes = {name: _size(folder / name) for name in labels}
        print(f"\n{folder.name}\n{'':54} {'covered':>14}  {'':7}  false boxes  CPU ms", flush=True)
        for size in given.size:
            found = with_faces(folder, list(labels), model, size, given.accurate)
            for least in SCORES:
                for shape in Shape:
                    how = ", accurate" * given.accurate
                    title = f"faces, {shape}, score {least}, size {size}{how}"
                    print(line(title, found, least, shape, labels, sizes), flush=True)
        if given.deface:
            found = with_deface(folder, list(labels), given.deface)
            print(line("deface", found, 0, None, labels, sizes), flush=True)


def _model() -> Model:
    for folder in [OWN_MODELS, *model_folders(None)]:
        try:
            return load("yunet", folder)
        except FacesError:
            continue
    raise SystemExit("the weights of yunet are needed: make demo fetches them")


def _size(file: Path) -> tuple[int, int]:
    picture = cv2.imread(str(file))
    assert picture is not None
    return picture.shape[1], picture.shape[0]


if __name__ == "__main__":
    main()
