"""YuNet-n: small, fast, accurate; decoded here, because onnxruntime runs it best.

The network and its heads are described in W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level
Face Detector", Machine Intelligence Research 20, 2023; weights from ShiqiYu/libfacedetection.train.
"""

from pathlib import Path

import numpy as np

from services.detector.models.network import SIDE_MULTIPLE, blob, session
from services.detector.models.protocol import Detections, Floats, Picture

STRIDES = (8, 16, 32)


class YuNet:
    """YuNet-n with a dynamic input size."""

    name = "yunet"
    overlap = 0.45  # of the authors' own evaluation

    def __init__(self, weights: Path) -> None:
        self._session = session(weights)
        self._outputs = [
            f"{head}_{stride}" for stride in STRIDES for head in ("cls", "obj", "bbox", "kps")
        ]

    def detect(self, picture: Picture, min_score: float) -> Detections:
        """See `Model.detect`."""
        heads = self._session.run(self._outputs, {"input": blob(picture, rgb=False)})
        width = picture.shape[1] + -picture.shape[1] % SIDE_MULTIPLE
        levels = [
            _decode(heads[4 * n : 4 * n + 4], stride, width // stride, min_score)
            for n, stride in enumerate(STRIDES)
        ]
        return Detections(
            np.concatenate([level.boxes for level in levels]),
            np.concatenate([level.scores for level in levels]),
            np.concatenate([level.landmarks for level in levels]),
        )


def _decode(heads: list[Floats], stride: int, columns: int, min_score: float) -> Detections:
    """The cells of one stride that score enough. `heads`: cls, obj, bbox, kps of (1, cells, n).

    Only those cells are decoded, so a picture without faces costs nothing after the network.
    """
    classes, objects, sizes, points = (head[0] for head in heads)
    squares = np.clip(classes[:, 0], 0, 1) * np.clip(objects[:, 0], 0, 1)
    cells = np.flatnonzero(squares >= min_score * min_score)
    corner = np.stack([cells % columns, cells // columns], axis=1).astype(np.float32)
    centre = corner + sizes[cells, :2]
    size = np.exp(sizes[cells, 2:])
    boxes = np.concatenate([centre - size / 2, size], axis=1) * stride
    landmarks = (np.tile(corner, 5) + points[cells]) * stride
    return Detections(boxes, np.sqrt(squares[cells]), landmarks)
