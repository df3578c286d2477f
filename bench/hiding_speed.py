"""CPU time of hiding faces, decoding and search left out.

    python -m bench.hiding_speed

Blurred faces in a picture of 12 megapixels: 1, 10 and 100 of 100 pixels a side, and one of 1,000.
CPU time is of all threads, the best of `ROUNDS`.
"""

import time
from functools import partial

import cv2
import numpy as np

from services.detector.hide import blurred, hide
from services.detector.models import Pixels
from shared.messages import Face
from shared.recipe import Shape

WIDTH, HEIGHT = 4000, 3000
ROUNDS = 5
CASES = ((1, 100), (10, 100), (100, 100), (1, 1000))
"""Faces, and their sides in pixels."""


def ms(picture: Pixels, faces: list[Face], shape: Shape) -> float:
    """CPU milliseconds of hiding these faces."""
    run = partial(hide, picture, faces, blurred, 0.1, 0.5, shape)
    spent = []
    for _ in range(ROUNDS + 1):  # the first fills caches
        start = time.process_time()
        run()
        spent.append((time.process_time() - start) * 1000)
    return min(spent[1:])


def faces_of(count: int, side: int) -> list[Face]:
    """So many, apart from each other."""
    return [
        Face(x=60 + at % 10 * 380, y=60 + at // 10 * 280, w=side, h=side, score=1)
        for at in range(count)
    ]


def main() -> None:
    """Print a line a case."""
    cv2.setNumThreads(1)
    noise = np.random.default_rng(1).integers(0, 255, (HEIGHT, WIDTH, 3))
    picture = noise.astype(np.uint8)
    for shape in Shape:
        for count, side in CASES:
            spent = ms(picture, faces_of(count, side), shape)
            title = f"{shape}, {count} of {side} pixels"
            print(f"{title:32} {spent:8.2f} ms a picture, {spent / count:7.3f} a face")


if __name__ == "__main__":
    main()
