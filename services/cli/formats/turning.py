"""From the upright picture to the one that a file stores, by the eight orientations of EXIF.

Programs that read regions of a file put them on its pixels as they are stored, and turn both.
Source: EXIF tag 0x0112 (CIPA DC-008); `services.detector.orient` turns the other way.
"""

from typing import NamedTuple


class Box(NamedTuple):
    """Part of a picture, normalised to its size: the centre, width and height."""

    x: float
    y: float
    w: float
    h: float


def stored_size(width: int, height: int, orientation: int) -> tuple[int, int]:
    """Size as stored, of a picture that has this one upright; 5 to 8 lie on their side."""
    return (height, width) if orientation >= 5 else (width, height)


_MIRRORED = {
    2: (True, False),
    3: (True, True),
    4: (False, True),
    6: (False, True),
    7: (True, True),
    8: (True, False),
}
"""Whether, behind the exchange of the axes of 5 to 8, left and right, and above and below, are
exchanged as well."""


def stored_box(box: Box, orientation: int) -> Box:
    """Where a box of the upright picture is in the stored one."""
    x, y, w, h = box if orientation < 5 else (box.y, box.x, box.h, box.w)
    across, down = _MIRRORED.get(orientation, (False, False))
    return Box(1 - x if across else x, 1 - y if down else y, w, h)
