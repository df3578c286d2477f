"""The tutorial's Haar cascade, out of OpenCV's own wheel: no download, least accurate."""

from pathlib import Path

import cv2
import numpy as np

from services.detector.models.checked import weights
from services.detector.models.model import Detections, Pixels
from shared.errors import ModelMissing
from shared.model_table import MODELS

TUTORIAL_SCALE = 1.2
TUTORIAL_NEIGHBOURS = 2
TUTORIAL_LEAST_SIDE = 50
LEAST_SIDE = 24
"""The cascade's own window: the smallest face that it knows."""


def load(cascade: bytes) -> "Haar":
    """The model, from its cascade."""
    return Haar(cascade)


class Haar:
    """The frontal face cascade. It knows no landmarks; its score is made of its neighbours."""

    name = "haar"
    overlap = 0.3

    def __init__(self, cascade: bytes, least_side: int = LEAST_SIDE) -> None:
        told = cv2.FileStorage(cascade.decode(), cv2.FILE_STORAGE_READ | cv2.FILE_STORAGE_MEMORY)
        self._cascade = cv2.CascadeClassifier()
        if not self._cascade.read(told.getFirstTopLevelNode()):
            raise ModelMissing(
                "this OpenCV reads no Haar cascade: install opencv-python-headless 4.x, "
                "or use another model (faces models pull)"
            )
        self._least_side = least_side

    def detect(self, picture: Pixels, min_score: float) -> Detections:
        """See `Model.detect`."""
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        boxes, neighbours = self._cascade.detectMultiScale2(
            grey,
            scaleFactor=TUTORIAL_SCALE,
            minNeighbors=TUTORIAL_NEIGHBOURS,
            flags=cv2.CASCADE_DO_CANNY_PRUNING,
            minSize=(self._least_side, self._least_side),
        )
        if len(boxes) == 0:
            return Detections.none(landmarks=0)
        counted = np.asarray(neighbours, np.float32)
        scores = counted / (counted + TUTORIAL_NEIGHBOURS)
        found = Detections(
            np.asarray(boxes, np.float32), scores, np.zeros((len(scores), 0), np.float32)
        )
        return found.take(np.flatnonzero(scores >= min_score))


def tutorial() -> Haar:
    """As the 2011 tutorial searched: only faces of at least 50 x 50 pixels."""
    return Haar(weights(MODELS["haar"], Path()), TUTORIAL_LEAST_SIDE)
