"""Highlighting: a rectangle round each face, as the tutorial drew it, and its score."""

from collections.abc import Sequence

import cv2

from services.detector.models.protocol import Picture
from shared.messages import Face

RED = (0, 0, 255)


def line_width(width: int, height: int) -> int:
    """Width of a line that is seen as well in a large picture as in a small one."""
    return max(2, round(max(width, height) / 400))


def draw_boxes(picture: Picture, faces: Sequence[Face]) -> None:
    """Draw a red rectangle round each face, into the picture."""
    line = line_width(picture.shape[1], picture.shape[0])
    for face in faces:
        left, top = round(face.x), round(face.y)
        right, bottom = round(face.x + face.w), round(face.y + face.h)
        cv2.rectangle(picture, (left, top), (right, bottom), RED, line)
