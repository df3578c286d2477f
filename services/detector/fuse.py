"""Making one box of the many that a detector gives for a face: at one scale, and of two.

Within a scale: suppression; or voting, where the boxes of a face give their weighted mean
(S. Gidaris, N. Komodakis, "Object detection via a multi-region and semantic segmentation-aware CNN
model", ICCV 2015). Across scales: a mean of boxes and scores weighted by trust (in the manner of
R. Solovyev, W. Wang, T. Gabruseva, "Weighted boxes fusion", Image and Vision Computing 107, 2021),
where a scale is trusted by how large the face is in the pixels that it saw: what a trusted scale
did not see is doubted, what a scale could not see is not.
"""

from collections.abc import Sequence

import cv2
import numpy as np
from numpy.typing import NDArray

from services.detector.models.model import Detections, Floats

VOTE_SUPPRESSION = 0.4
VOTE_OVERLAP = 0.5
VOTER_SCORE = 0.1
"""Fainter candidates have no vote and keep their box: they are many, and rarely a face."""

SAME_FACE_OVERLAP = 0.4

HALF_TRUSTED_SIDE = 32.0
"""Side of a face, in pixels as searched, at which a scale is trusted by half."""

TRUST_EXPONENT = 3.0


def suppress(found: Detections, min_score: float, overlap: float) -> Detections:
    """Of boxes that overlap more than `overlap` (intersection over union) keep the best."""
    kept = cv2.dnn.NMSBoxes(found.boxes.tolist(), found.scores.tolist(), min_score, overlap)
    return found.take(np.asarray(kept, np.intp).reshape(-1))


def voted(found: Detections, min_score: float) -> Detections:
    """As `suppress`, but each box that is kept becomes the mean of those that overlap it."""
    kept = suppress(found, min_score, VOTE_SUPPRESSION)
    sure = kept.scores >= VOTER_SCORE
    voters = found.take(np.flatnonzero(found.scores >= VOTER_SCORE))
    votes = (overlaps(kept.boxes[sure], voters.boxes) >= VOTE_OVERLAP) * voters.scores
    boxes = kept.boxes.copy()
    boxes[sure] = votes @ voters.boxes / votes.sum(axis=1, keepdims=True)
    return Detections(boxes, kept.scores, kept.landmarks)


def fuse(scales: Sequence[tuple[Detections, float]], min_score: float) -> Detections:
    """One list of faces from those of one or two scales, each with its factor to the full picture.

    The first scale is the larger; landmarks are taken from where the face scored best.
    """
    large, large_factor = scales[0]
    if len(scales) == 1:
        return large.take(np.flatnonzero(large.scores >= min_score))
    small, small_factor = scales[1]
    in_large, in_small = _pairs(large, small)
    only_large = np.setdiff1d(np.arange(len(large)), in_large)
    only_small = np.setdiff1d(np.arange(len(small)), in_small)
    parts = (
        _mean(large.take(in_large), large_factor, small.take(in_small), small_factor),
        _doubted(large.take(only_large), large_factor, small_factor),
        _doubted(small.take(only_small), small_factor, large_factor),
    )
    together = Detections(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.landmarks for part in parts]),
    )
    return suppress(together, min_score, VOTE_SUPPRESSION)


def _pairs(large: Detections, small: Detections) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of both that are the same face: each face of the larger scale has at most one."""
    if not len(large) or not len(small):
        none = np.zeros(0, np.intp)
        return none, none
    shared = overlaps(small.boxes, large.boxes)
    nearest = shared.argmax(axis=1)
    rows = np.flatnonzero(shared.max(axis=1) >= SAME_FACE_OVERLAP)
    rows = rows[np.argsort(-shared[rows, nearest[rows]], kind="stable")]
    of_large, first = np.unique(nearest[rows], return_index=True)
    return of_large, rows[first]


def _trust(boxes: Floats, factor: float) -> Floats:
    """How far a scale is trusted about faces of these sizes, 0 to 1."""
    side = np.sqrt(np.maximum(boxes[:, 2] * boxes[:, 3], 1e-6)) * factor
    return np.asarray(1 / (1 + (HALF_TRUSTED_SIDE / side) ** TRUST_EXPONENT) + 1e-3, np.float32)


def _mean(one: Detections, factor: float, other: Detections, other_factor: float) -> Detections:
    """Faces that both scales saw: mean score by trust, mean box by trust and score."""
    trust, other_trust = _trust(one.boxes, factor), _trust(one.boxes, other_factor)
    weight, other_weight = trust * one.scores, other_trust * other.scores
    total = weight + other_weight
    boxes = (one.boxes * weight[:, None] + other.boxes * other_weight[:, None]) / total[:, None]
    best = (weight >= other_weight)[:, None]
    landmarks = np.where(best, one.landmarks, other.landmarks)
    return Detections(np.asarray(boxes, np.float32), total / (trust + other_trust), landmarks)


def _doubted(seen: Detections, factor: float, other_factor: float) -> Detections:
    """Faces that only one scale saw: the other one's trust counts against them."""
    trust, other_trust = _trust(seen.boxes, factor), _trust(seen.boxes, other_factor)
    return Detections(seen.boxes, seen.scores * trust / (trust + other_trust), seen.landmarks)


def overlaps(boxes: Floats, others: Floats) -> Floats:
    """Intersection over union of each of n boxes with each of m others, shape (n, m)."""
    shared = _shared(boxes, others, axis=0)
    shared *= _shared(boxes, others, axis=1)
    union = (boxes[:, 2] * boxes[:, 3])[:, None] + (others[:, 2] * others[:, 3])[None]
    union -= shared
    return np.asarray(shared / np.maximum(union, 1e-6, out=union), np.float32)


def _shared(boxes: Floats, others: Floats, axis: int) -> Floats:
    """How much of each other's width (axis 0) or height (axis 1) boxes cover, shape (n, m)."""
    ends, other_ends = boxes[:, axis] + boxes[:, axis + 2], others[:, axis] + others[:, axis + 2]
    shared = np.minimum(ends[:, None], other_ends[None])
    shared -= np.maximum(boxes[:, None, axis], others[None, :, axis])
    return np.asarray(np.maximum(shared, 0, out=shared), np.float32)
