"""Searching a picture at the scales that a recipe asks for. Never scales up."""

import cv2
import numpy as np

from services.detector.models.protocol import Detections, Model, Picture


def scaled_down(picture: Picture, longest: int) -> Picture:
    """The picture with its longest side at most `longest`, by averaging areas."""
    height, width = picture.shape[:2]
    factor = longest / max(height, width)
    if factor >= 1:
        return picture
    size = max(1, round(width * factor)), max(1, round(height * factor))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def search(
    model: Model, picture: Picture, size: tuple[int, int], detect_size: int, min_score: float
) -> Detections:
    """Faces of an upright picture, in pixels of the full picture's `size` (width, height)."""
    small = scaled_down(picture, detect_size)
    found = model.detect(small, min_score)
    return found.scaled(size[0] / small.shape[1], size[1] / small.shape[0])
