"""What a face model is: a picture in, boxes, scores and landmarks out."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
"""BGR pixels, shape (height, width, 3), upright."""

Floats = NDArray[np.float32]

MIRRORED = (1, 0, 2, 4, 3)
"""Which landmark is which in a mirrored picture: see `Detections`."""


@dataclass(frozen=True)
class Detections:
    """Faces, or candidates for faces, of one picture.

    `boxes`: float32 (n, 4), x, y, width, height in pixels, origin top left.
    `scores`: float32 (n,), 0 to 1.
    `landmarks`: float32 (n, 10), the x, y pairs of right eye, left eye, nose, right and left
    corner of the mouth (of the person); (n, 0) for a model that knows none.
    """

    boxes: Floats
    scores: Floats
    landmarks: Floats

    def __len__(self) -> int:
        return len(self.scores)

    def take(self, rows: NDArray[np.intp]) -> "Detections":
        """Only these rows, in this order."""
        return Detections(self.boxes[rows], self.scores[rows], self.landmarks[rows])

    def scaled(self, across: float, down: float) -> "Detections":
        """In the pixels of a picture that is wider and higher by these factors."""
        pair = np.array([across, down], np.float32)
        return Detections(
            self.boxes * np.tile(pair, 2),
            self.scores,
            self.landmarks * np.tile(pair, self.landmarks.shape[1] // 2),
        )

    def mirrored(self, width: float) -> "Detections":
        """In the pixels of the mirrored picture, which is so wide; right and left are exchanged."""
        boxes = self.boxes.copy()
        boxes[:, 0] = width - boxes[:, 0] - boxes[:, 2]
        landmarks = self.landmarks.copy()
        if landmarks.shape[1] == len(MIRRORED) * 2:
            points = landmarks.reshape(-1, len(MIRRORED), 2)[:, MIRRORED]
            points[..., 0] = width - points[..., 0]
            landmarks = np.asarray(points.reshape(-1, 2 * len(MIRRORED)), np.float32)
        return Detections(boxes, self.scores, landmarks)

    @classmethod
    def none(cls, landmarks: int = 10) -> "Detections":
        """No face."""
        return cls(
            np.zeros((0, 4), np.float32),
            np.zeros(0, np.float32),
            np.zeros((0, landmarks), np.float32),
        )


class Model(Protocol):
    """A face detector. It searches a picture at the size that it is given: scaling is the
    caller's (`services.detector.search`), and no model scales up."""

    @property
    def name(self) -> str:
        """Its name in `shared.model_table`."""
        ...

    @property
    def overlap(self) -> float:
        """Intersection over union above which two of its boxes are one face."""
        ...

    def detect(self, picture: Pixels, min_score: float) -> Detections:
        """Every candidate that scores at least `min_score`; one face may have several."""
        ...
