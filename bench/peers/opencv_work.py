"""Finding faces as most programs do today: `cv2.FaceDetectorYN`, rectangles, a JPEG on disk."""

import os
from pathlib import Path

import cv2

LONGEST_SIDE = 640
LEAST_SCORE = 0.7
RED = (0, 0, 255)
QUALITY = 90
"""Size, score and quality are those of our own recipe."""

_detectors: list["cv2.FaceDetectorYN"] = []


def detector() -> "cv2.FaceDetectorYN":
    """This process' detector, loaded once. BENCH_YUNET is the file of weights of fixed size."""
    if not _detectors:
        cv2.setNumThreads(1)  # as many processes as workers: threads would only get in their way
        _detectors.append(
            cv2.FaceDetectorYN.create(os.environ["BENCH_YUNET"], "", (320, 320), LEAST_SCORE, 0.45)
        )
    return _detectors[0]


def process(path: str, out: str) -> list[list[float]]:
    """Find the faces of one picture, draw them, store it; x, y, width, height of each."""
    yunet = detector()
    picture = cv2.imread(path)
    if picture is None:
        return []
    height, width = picture.shape[:2]
    scale = min(1.0, LONGEST_SIDE / max(height, width))
    small = picture
    if scale < 1:
        small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    yunet.setInputSize((small.shape[1], small.shape[0]))
    _, found = yunet.detect(small)
    boxes: list[list[float]] = [] if found is None else (found[:, :4] / scale).tolist()
    if boxes:
        line = max(2, round(max(height, width) / 400))
        for x, y, w, h in boxes:
            corners = (round(x), round(y)), (round(x + w), round(y + h))
            cv2.rectangle(picture, *corners, RED, line)
        name = str(Path(out) / (Path(path).stem + ".jpg"))
        cv2.imwrite(name, picture, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])
    return boxes
