"""PSD and PSB files for the tests (Adobe Photoshop File Formats Specification)."""

import struct

import numpy as np
from PIL import Image

MODES = {"L": 1, "RGB": 3, "RGBA": 3, "CMYK": 4}


def psd(
    picture: Image.Image,
    *,
    wide: bool = False,
    bits: int = 8,
    packed: bool = True,
    has_composite: bool = True,
    tagged: bytes = b"",
) -> bytes:
    """A file with this picture as its composite. One of mode RGBA has transparency; `wide`: PSB.
    `tagged`: blocks that hold the layers instead, as those of 16 bits do."""
    planes = np.atleast_3d(np.asarray(picture, np.uint8)).transpose(2, 0, 1)
    if picture.mode == "CMYK":
        planes = 255 - planes
    count, height, width = planes.shape
    samples = (planes.astype(np.uint16) * 257).astype(">u2") if bits == 16 else planes
    long = ">Q" if wide else ">I"
    version = struct.pack(">4sH2sIIB3s", b"8BIM", 1057, b"", 8, 1, has_composite, b"")
    layers = struct.pack(long, 2) + struct.pack(">h", -1 if picture.mode == "RGBA" else 0)
    if tagged:
        layers = struct.pack(long, 0) + struct.pack(">I", 0) + tagged
    head = struct.pack(
        ">4sH6sHIIHH", b"8BPS", 1 + wide, b"", count, height, width, bits, MODES[picture.mode]
    )
    content = head + struct.pack(">I", 0) + struct.pack(">I", len(version)) + version
    content += struct.pack(long, len(layers)) + layers + struct.pack(">H", packed)
    rows = [row.tobytes() for plane in samples for row in plane]
    if packed:
        rows = [_packbits(row) for row in rows]
        content += b"".join(struct.pack(">I" if wide else ">H", len(row)) for row in rows)
    return content + b"".join(rows)


def _packbits(row: bytes) -> bytes:
    """Without repeats, in runs of at most 128 bytes (TIFF revision 6.0, section 9)."""
    runs = (row[at : at + 128] for at in range(0, len(row), 128))
    return b"".join(bytes([len(run) - 1]) + run for run in runs)
