"""A line a picture, for people."""

from typing import TextIO

from services.cli.formats.columns import cut_told, pages_told
from services.cli.formats.registry import Rows
from shared.printing import printable


async def write(rows: Rows, out: TextIO) -> int:
    """Write all rows; how many images there were."""
    count = 0
    print(f"{'status':<9}{'faces':>6}{'size':>15}{'ms':>8}  name", file=out)
    async for row in rows(False):
        count += 1
        size = f"{row.width} x {row.height}" if row.width and row.height else ""
        took = "" if row.detect_ms is None else f"{row.detect_ms:.0f}"
        notes = [note for note in (pages_told(row), cut_told(row), printable(row.reason)) if note]
        print(
            f"{row.status:<9}{row.face_count or '':>6}{size:>15}{took:>8}  {printable(row.name)}"
            + f"  ({'; '.join(notes)})" * bool(notes),
            file=out,
        )
    return count
