"""COCO's object detection format: images, annotations, categories. Two passes, no list in memory.

A document has one image a page that was searched: its `file_name` ends in `#page=N`, and it has a
field `page`. Images that were not searched (queued, failed) are left out: they have no size, and
that nothing is annotated there says nothing.
"""

import json
from collections.abc import Iterator
from typing import TextIO

from services.cli.formats.columns import LANDMARKS
from services.cli.formats.registry import Rows
from shared.catalog import ImageRow
from shared.messages import Face, Status

KEYPOINT_VISIBLE = 2

PAGE_IDS = 1 << 50
PAGES_APART = 1000
"""Ids of pages are above all keys of rows, which are the ids of pictures, and below 2**53, up to
which every reader of JSON is exact. A row has at most `shared.messages.PAGES_LIMIT` pages."""


async def write(rows: Rows, out: TextIO) -> int:
    """Write all rows; how many of COCO's images there were."""
    count, annotations = 0, 0
    out.write('{"info": {"description": "faces in the cloud"}, "licenses": [], "images": [')
    async for row in rows(False):
        for image in _images(row):
            out.write(("\n" if count == 0 else ",\n") + json.dumps(image))
            count += 1
    out.write('],\n"annotations": [')
    async for row in rows(True):
        if not _searched(row):
            continue
        for face in row.faces:
            annotations += 1
            told = _annotation(annotations, row, face)
            out.write(("\n" if annotations == 1 else ",\n") + json.dumps(told))
    category = {"id": 1, "name": "face", "keypoints": list(LANDMARKS), "skeleton": []}
    out.write(f'],\n"categories": [{json.dumps(category)}]}}\n')
    return count


def _images(row: ImageRow) -> Iterator[dict[str, object]]:
    if not _searched(row):
        return
    if not row.searched:
        size = {"width": row.width, "height": row.height}
        yield {"id": _image_id(row, None), "file_name": row.name, **size}
    for page in row.searched:
        if page.width and page.height:
            yield {
                "id": _image_id(row, page.n),
                "file_name": f"{row.name}#page={page.n}",
                "width": page.width,
                "height": page.height,
                "page": page.n,
            }


def _annotation(number: int, row: ImageRow, face: Face) -> dict[str, object]:
    annotation: dict[str, object] = {
        "id": number,
        "image_id": _image_id(row, face.page if row.searched else None),
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
    return annotation


def _image_id(row: ImageRow, page: int | None) -> int:
    return row.cursor if page is None else PAGE_IDS + row.cursor * PAGES_APART + page


def _searched(row: ImageRow) -> bool:
    return row.status in (Status.FACES, Status.NO_FACES) and bool(row.width and row.height)
