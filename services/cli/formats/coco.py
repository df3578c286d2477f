"""COCO's object detection format: images, annotations, categories. Three passes, no list in memory.

`info.root` is the folder that holds all pictures of the file, and `file_name` the path below it: no
two images have the same (see `locations`). Boxes lie inside their pictures; a face outside of its
picture altogether has no annotation, and a landmark outside is one that is not labelled.

A document has one image a page that was searched: its `file_name` ends in `#page=N`, and it has a
field `page`. Images that were not searched (queued, failed) are left out: they have no size, and
that nothing is annotated there says nothing.
"""

import json
from collections.abc import Iterator
from typing import TextIO

from services.cli.formats.columns import LANDMARKS
from services.cli.formats.locations import common_root, file_name
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
    root = await common_root(rows)
    info = {"description": "faces in the cloud", "root": root}
    out.write(f'{{"info": {json.dumps(info)}, "licenses": [], "images": [')
    async for row in rows(False):
        for image in _images(row, file_name(row, root)):
            out.write(("\n" if count == 0 else ",\n") + json.dumps(image))
            count += 1
    out.write('],\n"annotations": [')
    async for row in rows(True):
        if not _searched(row):
            continue
        for face in row.faces:
            if not (face.w and face.h):
                continue
            annotations += 1
            told = _annotation(annotations, row, face)
            out.write(("\n" if annotations == 1 else ",\n") + json.dumps(told))
    category = {"id": 1, "name": "face", "keypoints": list(LANDMARKS), "skeleton": []}
    out.write(f'],\n"categories": [{json.dumps(category)}]}}\n')
    return count


def _images(row: ImageRow, name: str) -> Iterator[dict[str, object]]:
    if not _searched(row):
        return
    if not row.searched:
        size = {"width": row.width, "height": row.height}
        yield {"id": _image_id(row, None), "file_name": name, **size}
    for page in row.searched:
        if page.width and page.height:
            yield {
                "id": _image_id(row, page.n),
                "file_name": f"{name}#page={page.n}",
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
        width, height = _size(row, face)
        inside = [0 <= x <= width and 0 <= y <= height for x, y in pairs]
        points = [
            value
            for n, labelled in enumerate(inside)
            for value in (
                (*face.landmarks[2 * n : 2 * n + 2], KEYPOINT_VISIBLE) if labelled else (0, 0, 0)
            )
        ]
        annotation |= {"keypoints": points, "num_keypoints": sum(inside)}
    return annotation


def _size(row: ImageRow, face: Face) -> tuple[int, int]:
    """Width and height of the picture, or of the page, that a face is in."""
    for page in row.searched:
        if page.n == face.page:
            return page.width or 0, page.height or 0
    return row.width or 0, row.height or 0


def _image_id(row: ImageRow, page: int | None) -> int:
    return row.cursor if page is None else PAGE_IDS + row.cursor * PAGES_APART + page


def _searched(row: ImageRow) -> bool:
    return row.status in (Status.FACES, Status.NO_FACES) and bool(row.width and row.height)
