"""CSV: a line a face; an image without one has a line with nothing in its face's columns."""

import csv
from typing import TextIO

from services.cli.formats.columns import COLUMNS, FACE_COLUMNS, LANDMARKS, as_dict
from services.cli.formats.registry import Rows

_POINTS = [f"{name}_{axis}" for name in LANDMARKS for axis in "xy"]
_BOX = ("x", "y", "w", "h", "score")
_MORE = [name for name in FACE_COLUMNS if name not in (*_BOX, "landmarks")]


async def write(rows: Rows, out: TextIO) -> int:
    """Write all rows; how many images there were."""
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow([*COLUMNS, "n", *_BOX, *_POINTS, *_MORE])
    count = 0
    async for row in rows(True):
        count += 1
        told = as_dict(row)
        image = [told[name] for name in COLUMNS]
        for n, face in enumerate(row.faces):
            box = [getattr(face, name) for name in _BOX]
            points = face.landmarks or [""] * len(_POINTS)
            lines.writerow([*image, n, *box, *points, *(getattr(face, name) for name in _MORE)])
        if not row.faces:
            lines.writerow([*image, *[""] * (1 + len(_BOX) + len(_POINTS) + len(_MORE))])
    return count
