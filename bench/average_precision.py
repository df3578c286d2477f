"""Average precision by the protocol of WIDER FACE, on a folder with a `labels.json`.

S. Yang, P. Luo, C. C. Loy, X. Tang, "WIDER FACE: A Face Detection Benchmark", CVPR 2016, and its
evaluation code: a detection belongs to the labelled face that it overlaps most; at an overlap
(intersection over union) of 0.5 or more it is a hit, once a face; a face outside the level, and a
detection that belongs to it, count as neither hit nor miss.
"""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

LEVELS = ("easy", "medium", "hard")
OVERLAP = 0.5

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Labels:
    """One labelled picture. `boxes`: (n, 4), x, y, w, h in pixels; `levels`: of each face."""

    boxes: Floats
    levels: tuple[frozenset[str], ...]

    def counted(self, level: str) -> NDArray[np.bool_]:
        """Which faces count in this level."""
        return np.array([level in levels for levels in self.levels], bool)


@dataclass(frozen=True)
class Found:
    """What a detector found in one picture: (n, 4) boxes and (n,) scores, in any order."""

    boxes: Floats
    scores: Floats


@dataclass(frozen=True)
class Curve:
    """Precision, recall and score, (n,) each: one point a detection, best scores first."""

    precision: Floats
    recall: Floats
    scores: Floats

    @property
    def average_precision(self) -> float:
        """Area below the curve, precision made monotonous (as in PASCAL VOC 2010 and later)."""
        recall = np.concatenate([[0.0], self.recall, [1.0]])
        precision = np.concatenate([[0.0], self.precision, [0.0]])
        precision = np.maximum.accumulate(precision[::-1])[::-1]
        return float(np.sum(np.diff(recall) * precision[1:]))

    def at(self, score: float) -> tuple[float, float]:
        """Precision and recall of the detections of at least this score."""
        kept = int(np.searchsorted(-self.scores, -score, side="right"))
        return (float(self.precision[kept - 1]), float(self.recall[kept - 1])) if kept else (1.0, 0)

    def best_f1(self) -> tuple[float, float]:
        """The best F1, and the least score of the detections that give it."""
        both = self.precision + self.recall
        f1 = 2 * self.precision * self.recall / np.where(both > 0, both, 1)
        best = int(np.argmax(f1))
        return float(f1[best]), float(self.scores[best])


def read_labels(folder: Path) -> dict[str, Labels]:
    """The labelled pictures of a folder, by file name."""
    told = json.loads((folder / "labels.json").read_text())
    return {
        name: Labels(
            np.array([face["box"] for face in picture["faces"]], float).reshape(-1, 4),
            tuple(frozenset(face["levels"]) for face in picture["faces"]),
        )
        for name, picture in told.items()
    }


def overlaps(boxes: Floats, others: Floats) -> Floats:
    """Intersection over union of each box with each other one: (n, m)."""
    near = np.maximum(boxes[:, None, :2], others[None, :, :2])
    far = np.minimum(
        boxes[:, None, :2] + boxes[:, None, 2:], others[None, :, :2] + others[None, :, 2:]
    )
    shared = np.clip(far - near, 0, None).prod(axis=2)
    areas = boxes[:, 2:].prod(axis=1)[:, None] + others[:, 2:].prod(axis=1)[None, :]
    return np.asarray(shared / np.maximum(areas - shared, 1e-9))


def curve(labels: Mapping[str, Labels], found: Mapping[str, Found], level: str) -> Curve:
    """Precision and recall over all pictures, by score."""
    faces = 0
    scores: list[Floats] = []
    hits: list[NDArray[np.bool_]] = []
    for name, picture in labels.items():
        counted = picture.counted(level)
        faces += int(counted.sum())
        kept, hit = _judged(picture.boxes, counted, found[name])
        scores.append(kept)
        hits.append(hit)
    every = np.concatenate(scores)
    order = np.argsort(-every, kind="stable")
    hit = np.concatenate(hits)[order]
    true = np.cumsum(hit)
    ranks = np.arange(1, len(hit) + 1)
    return Curve(true / ranks, true / max(faces, 1), every[order])


def _judged(
    faces: Floats, counted: NDArray[np.bool_], found: Found
) -> tuple[Floats, NDArray[np.bool_]]:
    """Scores of the detections that count, best first, and whether each is a hit."""
    order = np.argsort(-found.scores, kind="stable")
    boxes, scores = found.boxes[order], found.scores[order]
    if not len(faces) or not len(boxes):
        return scores, np.zeros(len(scores), bool)
    shared = overlaps(boxes, faces)
    nearest = shared.argmax(axis=1)
    belongs = shared.max(axis=1) >= OVERLAP
    counts = ~belongs | counted[nearest]
    hits = _first_of(nearest, belongs & counted[nearest])
    return scores[counts], hits[counts]


def _first_of(nearest: NDArray[np.intp], belongs: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """The first (best) detection of each face; a second one of the same face is a false alarm."""
    hits = np.zeros(len(nearest), bool)
    rows = np.flatnonzero(belongs)
    _, first = np.unique(nearest[rows], return_index=True)
    hits[rows[first]] = True
    return hits


def average_precisions(
    labels: Mapping[str, Labels], found: Mapping[str, Found], levels: Iterable[str] = LEVELS
) -> tuple[float, ...]:
    """Average precision in each level."""
    return tuple(curve(labels, found, level).average_precision for level in levels)
