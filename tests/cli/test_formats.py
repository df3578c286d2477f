"""The formats of `faces results`: each has every column, and reads as its kind of file does."""

import csv
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace

from services.cli.formats.columns import COLUMNS
from services.cli.formats.registry import FORMATS, SIDECARS
from shared.catalog import ImageRow
from shared.messages import Face, Page, Status, new_token, now

MOMENT = now()
FACE = Face(x=10, y=20, w=30, h=40, score=0.9, landmarks=(1, 2, 3, 4, 5, 6, 7, 8, 9, 10))
ROW = ImageRow(
    cursor=7,
    id=new_token(),
    recipe="yunet-0123456789",
    generation=1,
    submission_id=new_token(),
    source_uri="file:///p/a.jpg",
    source_version="1-2",
    name="trip/a\n\x1b[2J.jpg",
    bytes=1000,
    width=640,
    height=480,
    format="JPEG",
    status=Status.FACES,
    face_count=2,
    annotated_uri=None,
    reason="",
    attempts=1,
    consumer="host-1",
    queued_at=MOMENT,
    detected_at=MOMENT,
    committed_at=MOMENT,
    detect_ms=12.5,
    faces=(FACE, FACE.model_copy(update={"landmarks": ()})),
)
FAILED = replace(
    ROW, cursor=8, name="b.jpg", status=Status.FAILED, reason="empty", faces=(), face_count=0
)


async def printed(form: str, *rows: ImageRow) -> str:
    async def given(_faces: bool) -> AsyncIterator[ImageRow]:
        for row in rows:
            yield row

    out = io.StringIO()
    await FORMATS[form].load()(given, out)
    return out.getvalue()


async def test_json_is_an_array_of_columns_with_nested_faces() -> None:
    first, second = json.loads(await printed("json", ROW, FAILED))
    assert set(first) == {*COLUMNS, "searched", "faces"}
    assert first["queued_at"] == MOMENT.isoformat()
    assert [face["n"] for face in first["faces"]] == [0, 1]
    assert first["faces"][0] == {
        "n": 0, "x": 10, "y": 20, "w": 30, "h": 40, "score": 0.9,
        "landmarks": [1, 2, 3, 4, 5, 6, 7, 8, 9, 10], "page": None,
    }  # fmt: skip
    assert (second["status"], second["faces"]) == ("failed", [])
    assert json.loads(await printed("json")) == []


async def test_jsonl_is_an_object_a_line() -> None:
    lines = (await printed("jsonl", ROW, FAILED)).splitlines()
    assert [json.loads(line)["name"] for line in lines] == [ROW.name, "b.jpg"]


async def test_csv_has_a_line_a_face_and_one_for_a_picture_without() -> None:
    lines = list(csv.DictReader(io.StringIO(await printed("csv", ROW, FAILED))))
    assert [(line["name"], line["n"], line["score"]) for line in lines] == [
        (ROW.name, "0", "0.9"),
        (ROW.name, "1", "0.9"),
        ("b.jpg", "", ""),
    ]
    assert (lines[0]["nose_x"], lines[1]["nose_x"]) == ("5.0", "")


async def test_coco_is_complete_and_refers_only_to_what_is_in_it() -> None:
    told = json.loads(await printed("coco", ROW, FAILED))
    (image,) = told["images"]  # what failed was not searched
    assert image == {"id": 7, "file_name": ROW.name, "width": 640, "height": 480}
    assert told["categories"][0]["name"] == "face"
    assert [one["id"] for one in told["annotations"]] == [1, 2]
    for one in told["annotations"]:
        assert (one["image_id"], one["category_id"], one["iscrowd"]) == (7, 1, 0)
        assert one["bbox"] == [10, 20, 30, 40]
        assert one["area"] == 1200
    assert told["annotations"][0]["keypoints"][:3] == [1, 2, 2]
    assert json.loads(await printed("coco", FAILED))["annotations"] == []


async def test_a_table_keeps_every_picture_on_one_line_of_the_terminal() -> None:
    lines = (await printed("table", ROW, FAILED)).splitlines()
    assert len(lines) == 3
    assert "trip/a\\n\\x1b[2J.jpg" in lines[1]
    assert lines[2].endswith("b.jpg  (empty)")


DOCUMENT = replace(
    ROW,
    cursor=9,
    name="scan.tif",
    kind="document",
    pages=12,
    searched=(
        Page(n=1, width=640, height=480),
        Page(n=2, reason="damaged"),
        Page(n=3, width=100, height=200),
    ),
    annotated_page=3,
    taken_at="2019-06-01T12:00:00",
    camera="Scanner",
    drawing=1,
    face_count=2,
    faces=(FACE.model_copy(update={"page": 1}), FACE.model_copy(update={"page": 3})),
)


async def test_json_has_a_documents_pages_and_what_the_camera_said() -> None:
    picture, document = json.loads(await printed("json", ROW, DOCUMENT))
    told = {"kind": "document", "pages": 12, "annotated_page": 3, "drawing": 1}
    told |= {"taken_at": "2019-06-01T12:00:00", "camera": "Scanner", "code": None}
    assert {name: document[name] for name in told} == told
    assert [face["page"] for face in document["faces"]] == [1, 3]
    assert [page["n"] for page in document["searched"]] == [1, 2, 3]
    assert document["searched"][1] == {"n": 2, "width": None, "height": None, "reason": "damaged"}
    assert (picture["kind"], picture["pages"], picture["searched"]) == ("picture", 1, [])


async def test_csv_has_the_same_columns_and_the_page_of_a_face() -> None:
    text = await printed("csv", ROW, DOCUMENT)
    lines = list(csv.DictReader(io.StringIO(text)))
    assert set(COLUMNS) < set(lines[0])
    assert [line["page"] for line in lines] == ["", "", "1", "3"]
    assert (lines[2]["kind"], lines[2]["camera"], lines[0]["camera"]) == ("document", "Scanner", "")


async def test_coco_has_an_image_a_page_that_was_searched() -> None:
    out = json.loads(await printed("coco", ROW, DOCUMENT))
    picture, first, third = out["images"]
    assert "page" not in picture
    assert (first["file_name"], first["page"]) == ("scan.tif#page=1", 1)
    assert (third["file_name"], third["width"], third["height"]) == ("scan.tif#page=3", 100, 200)
    ids = [image["id"] for image in out["images"]]
    assert len(set(ids)) == 3 and max(ids) < 2**53
    owners = [one["image_id"] for one in out["annotations"]]
    assert owners == [picture["id"], picture["id"], first["id"], third["id"]]


async def test_every_entry_of_the_registries_can_be_loaded() -> None:
    for form in set(FORMATS) - {"parquet"}:
        assert await printed(form) or form == "jsonl", "nothing is said of no rows, but validly"
    for sidecar in SIDECARS.values():
        assert b"trip" in sidecar.load()(ROW)
