"""JSON: one array of all images, one object a line, or one object in a file beside its picture."""

import json
from typing import TextIO

from services.cli.formats.columns import as_dict
from services.cli.formats.registry import Rows
from services.cli.formats.within import row_within
from shared.catalog import ImageRow


async def write_array(rows: Rows, out: TextIO) -> int:
    """Write all rows as one array; how many images there were."""
    count = 0
    async for row in rows(True):
        out.write("[\n" if count == 0 else ",\n")
        out.write(json.dumps(as_dict(row)))
        count += 1
    out.write("\n]\n" if count else "[]\n")
    return count


async def write_lines(rows: Rows, out: TextIO) -> int:
    """Write all rows, an object a line; how many images there were."""
    count = 0
    async for row in rows(True):
        print(json.dumps(as_dict(row)), file=out)
        count += 1
    return count


def sidecar(row: ImageRow) -> bytes:
    """One image, as an array has it. UTF-8."""
    return (json.dumps(as_dict(row_within(row)), indent=2) + "\n").encode()
