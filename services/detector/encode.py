"""Pixels to the bytes of a JPEG."""

import cv2

from services.detector.models.protocol import Picture


def encode_jpeg(picture: Picture, quality: int) -> bytes:
    """A baseline JPEG of a BGR picture."""
    done, encoded = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    if not done:
        raise MemoryError("the picture could not be encoded")
    return encoded.tobytes()
