"""Camera raw for the tests: a picture's own pixels behind a mosaic of colours (DNG 1.7.1)."""

import struct
from collections.abc import Mapping

import numpy as np
from PIL import Image

from tests.support.pictures import encoded

_BYTE, _ASCII, _SHORT, _LONG, _RATIONAL, _SRATIONAL = 1, 2, 3, 4, 5, 10
_PACKED = {_BYTE: "B", _ASCII: "B", _SHORT: "H", _LONG: "I", _RATIONAL: "I", _SRATIONAL: "i"}

Entries = Mapping[int, tuple[int, tuple[int, ...] | bytes]]

_TO_SRGB = (32405, -15371, -4985, -9693, 18760, 416, 556, -2040, 10572)
"""XYZ to linear sRGB, in ten-thousandths: so the sensor's colours are those of the picture."""


def dng(picture: Image.Image, *, preview: Image.Image | None = None, orientation: int = 1) -> bytes:
    """A DNG whose sensor saw this picture; with a JPEG preview where one is given."""
    values = np.asarray(picture.convert("RGB"), np.float64) / 255
    linear = np.where(values <= 0.04045, values / 12.92, ((values + 0.055) / 1.055) ** 2.4)
    sensor = np.empty(linear.shape[:2], "<u2")
    for row, column, colour in ((0, 0, 0), (0, 1, 1), (1, 0, 1), (1, 1, 2)):
        sensor[row::2, column::2] = linear[row::2, column::2, colour] * 65535 + 0.5
    colours = tuple(number for one in _TO_SRGB for number in (one, 10_000))
    mosaic: dict[int, tuple[int, tuple[int, ...] | bytes]] = {
        256: (_LONG, (picture.width,)),
        257: (_LONG, (picture.height,)),
        258: (_SHORT, (16,)),
        259: (_SHORT, (1,)),
        262: (_SHORT, (32803,)),
        277: (_SHORT, (1,)),
        278: (_LONG, (picture.height,)),
        33421: (_SHORT, (2, 2)),
        33422: (_BYTE, (0, 1, 1, 2)),
        50717: (_LONG, (65535,)),
    }
    of_camera: dict[int, tuple[int, tuple[int, ...] | bytes]] = {
        271: (_ASCII, b"Nobody\0"),
        272: (_ASCII, b"Test\0"),
        274: (_SHORT, (orientation,)),
        306: (_ASCII, b"2019:06:01 12:00:00\0"),
        50706: (_BYTE, (1, 4, 0, 0)),
        50708: (_ASCII, b"Nobody Test\0"),
        50721: (_SRATIONAL, colours),
        50728: (_RATIONAL, (1, 1) * 3),
        50778: (_SHORT, (21,)),
    }
    if preview is None:
        return _tiff({254: (_LONG, (0,))} | mosaic | of_camera, sensor.tobytes())
    stored = encoded(preview, "JPEG", quality=95)
    first: Entries = {
        254: (_LONG, (1,)),
        256: (_LONG, (preview.width,)),
        257: (_LONG, (preview.height,)),
        258: (_SHORT, (8, 8, 8)),
        259: (_SHORT, (7,)),
        262: (_SHORT, (6,)),
        277: (_SHORT, (3,)),
        278: (_LONG, (preview.height,)),
        **of_camera,
    }
    return _tiff(first, stored, ({254: (_LONG, (0,))} | mosaic, sensor.tobytes()))


def _tiff(entries: Entries, pixels: bytes, sub: tuple[Entries, bytes] | None = None) -> bytes:
    content = bytearray(b"II*\0\0\0\0\0")
    inner = _directory(content, sub[0], sub[1]) if sub else 0
    told = {**entries, **({330: (_LONG, (inner,))} if sub else {})}
    struct.pack_into("<I", content, 4, _directory(content, told, pixels))
    return bytes(content)


def _directory(content: bytearray, entries: Entries, pixels: bytes) -> int:
    """Write one directory with its pixels at the end of a file; where it begins."""
    start = len(content)
    content += pixels + b"\0" * (len(pixels) % 2)
    told = {**entries, 273: (_LONG, (start,)), 279: (_LONG, (len(pixels),))}
    packed = b""
    for tag, (kind, values) in sorted(told.items()):
        body = struct.pack(f"<{len(values)}{_PACKED[kind]}", *values)
        count = len(values) // 2 if kind in (_RATIONAL, _SRATIONAL) else len(values)
        if len(body) > 4:
            place = len(content)
            content += body + b"\0" * (len(body) % 2)
            body = struct.pack("<I", place)
        packed += struct.pack("<HHI", tag, kind, count) + body.ljust(4, b"\0")
    at = len(content)
    content += struct.pack("<H", len(told)) + packed + b"\0\0\0\0"
    return at
