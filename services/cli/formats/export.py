"""Formats of `faces results`. Each is written row by row: a catalog of any size fits."""

import csv
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import fields
from datetime import datetime
from typing import TextIO

from services.cli.options import Format
from shared.catalog import ImageRow
from shared.messages import Status
from shared.printing import printable

Rows = Callable[[bool], AsyncIterator[ImageRow]]
"""Gives all rows anew at each call; the argument says whether with their faces."""

INTERNAL = {"cursor", "searched", "faces"}
COLUMNS = [field.name for field in fields(ImageRow) if field.name not in INTERNAL]
"""Columns of an image, by the names of the catalog."""

LANDMARKS = ("right_eye", "left_eye", "nose", "right_mouth_corner", "left_mouth_corner")
"""Of the person, not of the picture."""

KEYPOINT_VISIBLE = 2


async def write(form: Format, rows: Rows, out: TextIO) -> int:
    """Write all rows; how many images there were."""
    writers = {
        Format.TABLE: _table,
        Format.JSON: _json,
        Format.JSONL: _jsonl,
        Format.CSV: _csv,
        Format.COCO: _coco,
        Format.PARQUET: _parquet,
    }
    return await writers[form](rows, out)


def as_dict(row: ImageRow) -> dict[str, object]:
    """An image by the catalog's column names, with its faces nested."""
    image: dict[str, object] = {}
    for name in COLUMNS:
        value = getattr(row, name)
        image[name] = value.isoformat() if isinstance(value, datetime) else value
    image["faces"] = [
        {"n": n, **face.model_dump(exclude_none=True)} for n, face in enumerate(row.faces)
    ]
    return image


async def _table(rows: Rows, out: TextIO) -> int:
    count = 0
    print(f"{'status':<9}{'faces':>6}{'size':>15}{'ms':>8}  name", file=out)
    async for row in rows(False):
        count += 1
        size = f"{row.width} x {row.height}" if row.width and row.height else ""
        took = "" if row.detect_ms is None else f"{row.detect_ms:.0f}"
        why = f"  ({printable(row.reason)})" if row.reason else ""
        print(
            f"{row.status:<9}{row.face_count or '':>6}{size:>15}{took:>8}  "
            f"{printable(row.name)}{why}",
            file=out,
        )
    return count


async def _json(rows: Rows, out: TextIO) -> int:
    count = 0
    async for row in rows(True):
        out.write("[\n" if count == 0 else ",\n")
        out.write(json.dumps(as_dict(row)))
        count += 1
    out.write("\n]\n" if count else "[]\n")
    return count


async def _jsonl(rows: Rows, out: TextIO) -> int:
    count = 0
    async for row in rows(True):
        print(json.dumps(as_dict(row)), file=out)
        count += 1
    return count


async def _csv(rows: Rows, out: TextIO) -> int:
    """One line a face; an image without one has a line with nothing in its face's columns."""
    points = [f"{name}_{axis}" for name in LANDMARKS for axis in "xy"]
    lines = csv.writer(out, lineterminator="\n")
    lines.writerow([*COLUMNS, "n", "x", "y", "w", "h", "score", *points])
    count = 0
    async for row in rows(True):
        count += 1
        told = as_dict(row)
        image = [told[name] for name in COLUMNS]
        for n, face in enumerate(row.faces):
            box = (face.x, face.y, face.w, face.h, face.score)
            lines.writerow([*image, n, *box, *(face.landmarks or [""] * len(points))])
        if not row.faces:
            lines.writerow([*image, *[""] * (6 + len(points))])
    return count


async def _coco(rows: Rows, out: TextIO) -> int:
    """COCO's object detection format: images, annotations, categories. Two passes, no list.

    Images that were not searched (queued, failed) are left out: they have no size, and that
    nothing is annotated there says nothing.
    """
    count, annotations = 0, 0
    out.write('{"info": {"description": "faces in the cloud"}, "licenses": [], "images": [')
    async for row in rows(False):
        if _searched(row):
            image = {
                "id": row.cursor,
                "file_name": row.name,
                "width": row.width,
                "height": row.height,
            }
            out.write(("\n" if count == 0 else ",\n") + json.dumps(image))
            count += 1
    out.write('],\n"annotations": [')
    async for row in rows(True):
        if not _searched(row):
            continue
        for face in row.faces:
            annotations += 1
            annotation: dict[str, object] = {
                "id": annotations,
                "image_id": row.cursor,
                "category_id": 1,
                "bbox": [face.x, face.y, face.w, face.h],
                "area": round(face.w * face.h, 2),
                "iscrowd": 0,
                "score": face.score,
            }
            if face.landmarks:
                pairs = zip(face.landmarks[::2], face.landmarks[1::2], strict=True)
                points = [number for x, y in pairs for number in (x, y, KEYPOINT_VISIBLE)]
                annotation |= {"keypoints": points, "num_keypoints": len(points) // 3}
            out.write(("\n" if annotations == 1 else ",\n") + json.dumps(annotation))
    category = {"id": 1, "name": "face", "keypoints": list(LANDMARKS), "skeleton": []}
    out.write(f'],\n"categories": [{json.dumps(category)}]}}\n')
    return count


async def _parquet(rows: Rows, out: TextIO) -> int:
    from services.cli.formats.parquet import write_parquet

    return await write_parquet(rows(True), out)


def _searched(row: ImageRow) -> bool:
    return row.status in (Status.FACES, Status.NO_FACES) and bool(row.width and row.height)
