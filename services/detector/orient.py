"""Turning a picture upright, by the eight orientations of EXIF (tag 0x0112, CIPA DC-008)."""

import cv2
import numpy as np

from services.detector.models.model import Pixels


def upright_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Width and height after turning; orientations 5 to 8 lie on their side."""
    return (height, width) if orientation >= 5 else (width, height)


def upright(picture: Pixels, orientation: int) -> Pixels:
    """The picture turned and mirrored so that it stands as it was taken; 1 is not copied."""
    match orientation:
        case 2:
            turned = cv2.flip(picture, 1)
        case 3:
            turned = cv2.rotate(picture, cv2.ROTATE_180)
        case 4:
            turned = cv2.flip(picture, 0)
        case 5:
            turned = cv2.transpose(picture)
        case 6:
            turned = cv2.rotate(picture, cv2.ROTATE_90_CLOCKWISE)
        case 7:
            turned = cv2.flip(cv2.transpose(picture), -1)
        case 8:
            turned = cv2.rotate(picture, cv2.ROTATE_90_COUNTERCLOCKWISE)
        case _:
            return picture
    return np.asarray(turned, np.uint8)
