"""Running a network on one core, and what every detector does after it: suppression."""

from pathlib import Path

import cv2
import numpy as np
import onnxruntime as ort

from services.detector.models.protocol import Detections, Floats, Picture

SIDE_MULTIPLE = 32
"""The coarsest stride of both networks: sides are padded (never scaled) up to a multiple of it."""


def session(model: Path | bytes) -> ort.InferenceSession:
    """A session that uses one core and no threads: the slots are the parallelism."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    return ort.InferenceSession(
        model if isinstance(model, bytes) else str(model),
        options,
        providers=["CPUExecutionProvider"],
    )


def blob(picture: Picture, *, rgb: bool) -> Floats:
    """The picture as float32 0..255, shape (1, 3, height, width), padded right and below with 0."""
    height, width = picture.shape[:2]
    below, right = -height % SIDE_MULTIPLE, -width % SIDE_MULTIPLE
    if below or right:
        picture = np.asarray(
            cv2.copyMakeBorder(picture, 0, below, 0, right, cv2.BORDER_CONSTANT), np.uint8
        )
    return np.asarray(cv2.dnn.blobFromImage(picture, swapRB=rgb), np.float32)


def suppress(found: Detections, min_score: float, overlap: float) -> Detections:
    """Keep the best of boxes that overlap more than `overlap` (intersection over union)."""
    kept = cv2.dnn.NMSBoxes(found.boxes.tolist(), found.scores.tolist(), min_score, overlap)
    return found.take(np.asarray(kept, np.intp).reshape(-1))
