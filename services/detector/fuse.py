"""Making one box of the many that a detector gives for a face: in one look, and of several.

Within a look: suppression; or voting, where the boxes of a face give their weighted mean
(S. Gidaris, N. Komodakis, "Object detection via a multi-region and semantic segmentation-aware CNN
model", ICCV 2015). Across looks: a mean of boxes and scores weighted by trust (in the manner of
R. Solovyev, W. Wang, T. Gabruseva, "Weighted boxes fusion", Image and Vision Computing 107, 2021),
where a look is trusted by how large the face is in the pixels that it saw: what a trusted look
did not see is doubted, what a look could not see is not.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from services.detector.models.model import Detections, Floats

VOTE_SUPPRESSION = 0.4
VOTE_OVERLAP = 0.5
VOTER_SCORE = 0.1
"""Fainter candidates have no vote and keep their box: they are many, and rarely a face."""

SAME_FACE_OVERLAP = 0.4

KEPT_OVERLAP = 0.5
"""A face of the plain search is among the fused ones if one overlaps it so far."""

HALF_TRUSTED_SIDE = 32.0
"""Side of a face, in pixels as searched, at which a look is trusted by half."""

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


@dataclass(frozen=True)
class Seen:
    """What one look at a picture showed, in pixels of the full picture, and the look's scale."""

    found: Detections
    factor: float


def fuse(seen: Sequence[Seen]) -> Detections:
    """One list of faces, best first, from looks at several scales.

    A face's box is the mean of its boxes by trust and score, and its landmarks are of where that
    was most. Its score is the mean by trust: a look that did not see it counts as 0.
    """
    faces = _Faces.none(seen[0].found.landmarks.shape[1])
    for look in seen:
        faces = faces.joined(look)
    trusts = sum(_trust(faces.boxes, look.factor) for look in seen)
    scores = np.asarray(faces.weight / trusts, np.float32)
    return suppress(Detections(faces.boxes, scores, faces.landmarks), 0, VOTE_SUPPRESSION)


@dataclass(frozen=True)
class _Faces:
    """Faces of the looks so far, n of them.

    `boxes` (n, 4): the means; each further look is compared with them, so that its order matters
    little. `weight`: the sum of trust times score; `best`, `landmarks`: of where that was most.
    """

    boxes: Floats
    weight: Floats
    best: Floats
    landmarks: Floats

    @classmethod
    def none(cls, landmarks: int) -> "_Faces":
        none = Detections.none(landmarks)
        return cls(none.boxes, none.scores, none.scores, none.landmarks)

    def joined(self, look: Seen) -> "_Faces":
        """With what one more look showed: of faces known already, and others."""
        found = look.found
        weight = found.scores * _trust(found.boxes, look.factor)
        known, rows = _pairs(self.boxes, found.boxes)
        boxes, total, best, landmarks = (
            values.copy() for values in (self.boxes, self.weight, self.best, self.landmarks)
        )
        total[known] += weight[rows]
        share = (weight[rows] / np.maximum(total[known], 1e-9))[:, None]
        boxes[known] += (found.boxes[rows] - boxes[known]) * share
        better = weight[rows] > best[known]
        best[known[better]] = weight[rows[better]]
        landmarks[known[better]] = found.landmarks[rows[better]]
        new = np.setdiff1d(np.arange(len(found)), rows)
        return _Faces(
            np.concatenate([boxes, found.boxes[new]]),
            np.concatenate([total, weight[new]]),
            np.concatenate([best, weight[new]]),
            np.concatenate([landmarks, found.landmarks[new]]),
        )


def _pairs(faces: Floats, boxes: Floats) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Rows of both that are the same face: each face has at most one box, the one that fits best,
    and each box one face."""
    if not len(faces) or not len(boxes):
        none = np.zeros(0, np.intp)
        return none, none
    shared = overlaps(boxes, faces)
    nearest = shared.argmax(axis=1)
    rows = np.flatnonzero(shared.max(axis=1) >= SAME_FACE_OVERLAP)
    rows = rows[np.argsort(-shared[rows, nearest[rows]], kind="stable")]
    of_face, first = np.unique(nearest[rows], return_index=True)
    return of_face, rows[first]


def _trust(boxes: Floats, factor: float) -> Floats:
    """How far a scale is trusted about faces of these sizes, 0 to 1."""
    side = np.sqrt(np.maximum(boxes[:, 2] * boxes[:, 3], 1e-6)) * factor
    return np.asarray(1 / (1 + (HALF_TRUSTED_SIDE / side) ** TRUST_EXPONENT) + 1e-3, np.float32)


def all_kept(fused: Detections, plain: Detections, min_score: float) -> Detections:
    """What was fused, and every face of the plain search: at its score there, or a better one.

    So at any score an accurate search finds all that a plain one does.
    """
    scores, lost = fused.scores.copy(), np.arange(len(plain))
    if len(fused) and len(plain):
        shared = overlaps(plain.boxes, fused.boxes)
        nearest = shared.argmax(axis=1)
        kept = shared.max(axis=1) >= KEPT_OVERLAP
        np.maximum.at(scores, nearest[kept], plain.scores[kept])
        lost = np.flatnonzero(~kept)
    raised = Detections(fused.boxes, scores, fused.landmarks)
    sure = raised.take(np.flatnonzero(scores >= min_score))
    return best_first([sure, plain.take(lost)])


def and_large(found: Detections, overview: Detections, side: float) -> Detections:
    """What was found, and the faces of an overview that are longer than `side` (in pixels of the
    full picture) and not among them."""
    rows = overview.boxes[:, 2:].max(axis=1, initial=0) > side
    if len(found) and len(overview):
        rows &= overlaps(overview.boxes, found.boxes).max(axis=1) < SAME_FACE_OVERLAP
    return best_first([found, overview.take(np.flatnonzero(rows))])


def best_first(parts: Sequence[Detections]) -> Detections:
    """All of them in one list."""
    together = Detections(
        np.concatenate([part.boxes for part in parts]),
        np.concatenate([part.scores for part in parts]),
        np.concatenate([part.landmarks for part in parts]),
    )
    return together.take(np.argsort(-together.scores, kind="stable"))


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
