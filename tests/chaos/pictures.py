"""Small pictures for chaos runs: some with a face, most without, a few broken."""

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from skimage import data

BROKEN_EVERY = 100
FACE_EVERY = 3


@dataclass(frozen=True)
class Picture:
    """A picture's name and bytes, and whether it is a picture at all."""

    name: str
    content: bytes
    broken: bool


def make_pictures(count: int, seed: int) -> Iterator[Picture]:
    """`count` different pictures of 160 x 160 pixels; the same seed gives the same bytes."""
    draw = np.random.default_rng(seed)
    # The astronaut's head and shoulders, at a size at which the Haar cascade finds the face.
    face = cv2.resize(cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)[0:256, 96:352], (160, 160))
    for number in range(count):
        name = f"{number:05}.jpg"
        if number % BROKEN_EVERY == BROKEN_EVERY - 1:
            yield Picture(name, b"\xff\xd8 no picture" + draw.bytes(20), broken=True)
            continue
        ground = face if number % FACE_EVERY == 0 else np.full_like(face, number % 200)
        noise = draw.integers(0, 12, face.shape, dtype=np.uint8)
        encoded, content = cv2.imencode(".jpg", cv2.add(ground, np.asarray(noise)))
        assert encoded
        yield Picture(name, content.tobytes(), broken=False)
