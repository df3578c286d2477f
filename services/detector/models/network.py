"""Running a network on one core, and what goes into it."""

import cv2
import numpy as np
import onnxruntime as ort

from services.detector.models.model import Floats, Pixels

SIDE_MULTIPLE = 32
"""The coarsest stride of both networks: sides are padded (never scaled) up to a multiple of it."""


def session(model: bytes) -> ort.InferenceSession:
    """A session that uses one core and no threads: the slots are the parallelism.

    onnxruntime's memory arena stays on: without it a search took a quarter longer (10.3 against
    8.3 ms at 640 x 512). The default graph optimizations matter most: without the blocked layout
    that they choose for this network it took four times as long.
    """
    options = ort.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = ort.ExecutionMode.ORT_SEQUENTIAL
    options.log_severity_level = 3
    return ort.InferenceSession(
        model,
        options,
        providers=["CPUExecutionProvider"],
    )


def blob(picture: Pixels, *, rgb: bool) -> Floats:
    """The picture as float32 0..255, shape (1, 3, height, width), padded right and below with 0.

    Plane by plane into an array that is already padded: one pass, and no padded copy.
    """
    height, width = picture.shape[:2]
    planes = np.zeros(
        (1, 3, height + -height % SIDE_MULTIPLE, width + -width % SIDE_MULTIPLE), np.float32
    )
    for channel, plane in enumerate(cv2.split(picture)):
        planes[0, 2 - channel if rgb else channel, :height, :width] = plane
    return planes
