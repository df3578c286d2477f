"""CSV: a line a face; an image without one has a line with nothing in its face's columns.

A spreadsheet takes a cell that begins with `=` or the like for a formula, and strangers choose the
names of pictures: an apostrophe before it makes it text (OWASP, "CSV Injection").
"""

import csv
from collections.abc import Callable
from typing import TextIO

from services.cli.formats.columns import COLUMNS, FACE_COLUMNS, LANDMARKS, as_dict
from services.cli.formats.registry import Rows

_POINTS = [f"{name}_{axis}" for name in LANDMARKS for axis in "xy"]
_BOX = ("x", "y", "w", "h", "score")
_MORE = [name for name in FACE_COLUMNS if name not in (*_BOX, "landmarks")]


FORMULAS = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a formula begins with, by OWASP's list; the last four are the full-width forms."""


async def write(rows: Rows, out: TextIO) -> int:
    """Write all rows, texts so that none is a formula; how many images there were."""
    return await _write(rows, out, _as_text)


async def write_raw(rows: Rows, out: TextIO) -> int:
    """Write all rows, texts as they are; how many images there were."""
    return await _write(rows, out, _as_it_is)


async def _write(rows: Rows, out: TextIO, cell: Callable[[object], object]) -> int:
    lines = csv.writer(_Lines(out), lineterminator="\r\n")  # so that \r in a name is quoted, too
    lines.writerow([*COLUMNS, "n", *_BOX, *_POINTS, *_MORE])
    count = 0
    async for row in rows(True):
        count += 1
        told = as_dict(row)
        image = [cell(told[name]) for name in COLUMNS]
        for n, face in enumerate(row.faces):
            box = [getattr(face, name) for name in _BOX]
            points = face.landmarks or [""] * len(_POINTS)
            lines.writerow([*image, n, *box, *points, *(getattr(face, name) for name in _MORE)])
        if not row.faces:
            lines.writerow([*image, *[""] * (1 + len(_BOX) + len(_POINTS) + len(_MORE))])
    return count


def _as_it_is(value: object) -> object:
    return value


def _as_text(value: object) -> object:
    """Numbers stay numbers, also negative ones."""
    return f"'{value}" if isinstance(value, str) and value.startswith(FORMULAS) else value


class _Lines:
    """Ends each line, which the writer gives as a whole, as other programs here do."""

    def __init__(self, out: TextIO) -> None:
        self._out = out

    def write(self, line: str) -> int:
        return self._out.write(line.removesuffix("\r\n") + "\n")
