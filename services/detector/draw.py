"""Highlighting: a rectangle round each face, as the tutorial drew it; its score; crops."""

from collections.abc import Sequence

import cv2

from services.detector.models.model import Pixels
from services.detector.shapes import area
from shared.messages import Face

RED = (0, 0, 255, 255)
WHITE = (255, 255, 255, 255)
"""BGRA: in a picture with alpha, what is drawn is opaque."""

FONT = cv2.FONT_HERSHEY_SIMPLEX


def line_width(width: int, height: int) -> int:
    """Width of a line in pixels, in proportion to the picture."""
    return max(2, round(max(width, height) / 400))


def draw_boxes(picture: Pixels, faces: Sequence[Face]) -> None:
    """Draw a red rectangle round each face."""
    line = line_width(picture.shape[1], picture.shape[0])
    for face in faces:
        near = round(face.x), round(face.y)
        far = round(face.x + face.w), round(face.y + face.h)
        cv2.rectangle(picture, near, far, RED, line)


def draw_labels(picture: Pixels, faces: Sequence[Face]) -> None:
    """Write each score above its face (below where there is no room), white on red."""
    height, width = picture.shape[:2]
    line = max(1, line_width(width, height) // 2)
    scale = max(0.4, max(width, height) / 1600)
    for face in faces:
        text = f"{face.score:.2f}"
        (across, up), down = cv2.getTextSize(text, FONT, scale, line)
        left = min(max(0, round(face.x)), max(0, width - across))
        bottom = round(face.y) - line
        if bottom - up - down < 0:
            bottom = min(height, round(face.y + face.h) + up + down + line)
        cv2.rectangle(picture, (left, bottom - up - down), (left + across, bottom), RED, cv2.FILLED)
        cv2.putText(
            picture, text, (left, bottom - down // 2), FONT, scale, WHITE, line, cv2.LINE_AA
        )


def crop(picture: Pixels, face: Face, margin: float) -> Pixels:
    """The pixels of one face with its margin; a view, so draw only afterwards on a copy."""
    cut = area(face, margin, picture.shape[1], picture.shape[0])
    return picture[cut.top : cut.bottom, cut.left : cut.right]
