"""YuNet-n: small, fast, accurate; decoded here, because onnxruntime runs it best.

The network and its heads are described in W. Wu, H. Peng, S. Yu, "YuNet: A Tiny Millisecond-level
Face Detector", Machine Intelligence Research 20, 2023; weights from ShiqiYu/libfacedetection.train.
"""

import numpy as np

from services.detector.models.heads import joined
from services.detector.models.model import Detections, Floats, Pixels
from services.detector.models.network import blob, session

STRIDES = (8, 16, 32)


def load(weights: bytes) -> "YuNet":
    """The model, from its weights."""
    return YuNet(weights)


class YuNet:
    """YuNet-n with a dynamic input size."""

    name = "yunet"
    overlap = 0.45  # of the authors' own evaluation

    def __init__(self, weights: bytes) -> None:
        self._outputs = [f"heads_{stride}" for stride in STRIDES]
        self._session = session(joined(weights, self._outputs))

    def detect(self, picture: Pixels, min_score: float) -> Detections:
        """See `Model.detect`."""
        heads = self._session.run(self._outputs, {"input": blob(picture, rgb=False)})
        levels = [
            _decode(head[0], stride, min_score) for head, stride in zip(heads, STRIDES, strict=True)
        ]
        return Detections(
            np.concatenate([level.boxes for level in levels]),
            np.concatenate([level.scores for level in levels]),
            np.concatenate([level.landmarks for level in levels]),
        )


def _decode(heads: Floats, stride: int, min_score: float) -> Detections:
    """The cells of one stride that score enough. `heads`: (16, rows, columns), see `heads.joined`.

    Only those cells are decoded, so a picture without faces costs nothing after the network.
    """
    classes, objects = (1 + np.tanh(heads[:2] / 2)) / 2  # the sigmoid, which overflows nowhere
    squares = classes * objects
    rows, columns = np.nonzero(squares >= min_score * min_score)
    corner = np.stack([columns, rows], axis=1).astype(np.float32)
    cells = heads[2:, rows, columns].T
    centre = corner + cells[:, :2]
    size = np.exp(cells[:, 2:4])
    boxes = np.concatenate([centre - size / 2, size], axis=1) * stride
    landmarks = (np.tile(corner, 5) + cells[:, 4:]) * stride
    return Detections(boxes, np.sqrt(squares[rows, columns]), landmarks)
