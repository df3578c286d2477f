"""How many labelled faces a contender found: each box matches at most one face."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

OVERLAP = 0.5
"""Intersection over union at which a box is a hit."""

Box = Sequence[float]


@dataclass(frozen=True)
class Score:
    """How many labelled faces were found, and how many boxes are on none."""

    found: int
    others: int


def labels_of(file: Path) -> dict[str, list[Box]]:
    """x, y, width, height of each labelled face by picture."""
    told = json.loads(file.read_text())
    return {name: [face["box"] for face in one["faces"]] for name, one in told.items()}


def overlap(one: Box, other: Box) -> float:
    """Intersection over union of two boxes (x, y, width, height)."""
    across = min(one[0] + one[2], other[0] + other[2]) - max(one[0], other[0])
    down = min(one[1] + one[3], other[1] + other[3]) - max(one[1], other[1])
    if across <= 0 or down <= 0:
        return 0.0
    common = across * down
    return common / (one[2] * one[3] + other[2] * other[3] - common)


def score(boxes: Mapping[str, Sequence[Box]], labels: Mapping[str, Sequence[Box]]) -> Score:
    """Match boxes to labels, the largest overlaps first."""
    found = others = 0
    for name, faces in labels.items():
        given = boxes.get(name, ())
        pairs = sorted(
            (
                (overlap(box, face), b, f)
                for b, box in enumerate(given)
                for f, face in enumerate(faces)
            ),
            reverse=True,
        )
        matched_boxes: set[int] = set()
        matched_faces: set[int] = set()
        for value, b, f in pairs:
            if value >= OVERLAP and b not in matched_boxes and f not in matched_faces:
                matched_boxes.add(b)
                matched_faces.add(f)
        found += len(matched_faces)
        others += len(given) - len(matched_boxes)
    return Score(found, others)
