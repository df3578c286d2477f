"""The formats of `faces results`: each has every column, and reads as its kind of file does."""

import csv
import io
import json
from collections.abc import AsyncIterator
from dataclasses import replace

from services.cli.formats.columns import COLUMNS
from services.cli.formats.registry import FORMATS, RAW, SIDECARS
from services.cli.formats.within import within
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

    out = io.StringIO(newline="")
    form, _, raw = form.partition(" ")
    await (RAW if raw else FORMATS)[form].load()(within(given), out)
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
    assert image == {"id": 7, "file_name": "a.jpg", "width": 640, "height": 480}
    assert told["info"]["root"] == "file:///p/"
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
    source_uri="file:///p/scan.tif",
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


def at(cursor: int, uri: str | None, **changed: object) -> ImageRow:
    """A row of a source."""
    row = replace(ROW, cursor=cursor, id=f"{cursor:032x}", source_uri=uri, name="p/a.jpg")
    return replace(row, **changed)  # type: ignore[arg-type]  # fields of all types


async def names(*rows: ImageRow) -> tuple[str, list[str]]:
    """The root and the file names of a COCO file."""
    told = json.loads(await printed("coco", *rows))
    found = [image["file_name"] for image in told["images"]]
    assert len(set(found)) == len(found)
    return told["info"]["root"], found


async def test_coco_names_each_picture_by_its_path_below_what_all_have_in_common() -> None:
    one, other = at(1, "file:///r1/p/a.jpg"), at(2, "file:///r2/p/a.jpg")
    assert await names(one, other) == ("file:///", ["r1/p/a.jpg", "r2/p/a.jpg"])
    deep = at(3, "file:///r1/p/caf%C3%A9/b%20c.jpg")
    assert await names(one, deep) == ("file:///r1/p/", ["a.jpg", "café/b c.jpg"])


async def test_coco_names_by_uri_what_has_no_folder_in_common() -> None:
    uris = ["s3://one/p/a.jpg", "s3://two/p/a.jpg", "file:///p/a.jpg"]
    assert await names(*(at(n, uri) for n, uri in enumerate(uris))) == ("", uris)


async def test_coco_keeps_apart_what_has_no_place_and_what_is_older() -> None:
    uri = "file:///p/a.jpg"
    older = at(4, uri, current=False, recipe="yunet-abcdefabcd")
    _, found = await names(at(1, None), at(2, None), at(3, uri), older)
    assert found == [
        f"p/a.jpg#{1:032x}",
        f"p/a.jpg#{2:032x}",
        "a.jpg",
        f"a.jpg#{4:032x}-yunet-abcdefabcd",
    ]


async def test_a_name_that_is_no_text_stays_encoded() -> None:
    _, found = await names(at(1, "file:///p/%FF.jpg"), at(2, "file:///p/%FE.jpg"))
    assert found == ["%FF.jpg", "%FE.jpg"]


OVER = replace(
    ROW,
    faces=(
        Face(x=-10, y=-20, w=40, h=50, score=0.9, landmarks=(-1, 5, 3, 4, 5, 6, 7, 8, 9, 10)),
        Face(x=620, y=470, w=40.5, h=40, score=0.8),
        Face(x=700, y=500, w=40, h=40, score=0.7),
    ),
    face_count=3,
)


async def test_every_format_has_boxes_that_lie_in_their_picture() -> None:
    cut = [(0, 0, 30, 30), (620, 470, 20, 10), (640, 480, 0, 0)]
    for form in ("json", "jsonl"):
        told = json.loads((await printed(form, OVER)).strip().removeprefix("[").removesuffix("]"))
        assert [tuple(face[side] for side in "xywh") for face in told["faces"]] == cut
    lines = list(csv.DictReader(io.StringIO(await printed("csv", OVER))))
    assert [tuple(float(line[side]) for side in "xywh") for line in lines] == cut
    told = json.loads(SIDECARS["json"].load()(OVER))
    assert [tuple(face[side] for side in "xywh") for face in told["faces"]] == cut


async def test_coco_leaves_out_what_has_no_part_in_the_picture() -> None:
    first, second = json.loads(await printed("coco", OVER))["annotations"]
    assert (first["bbox"], first["area"]) == ([0, 0, 30, 30], 900)
    assert second["bbox"] == [620, 470, 20, 10]
    assert (first["keypoints"][:6], first["num_keypoints"]) == ([0, 0, 0, 3, 4, 2], 4)


async def test_a_face_of_a_page_is_cut_at_that_page() -> None:
    wide = Face(x=50, y=100, w=200, h=200, score=0.9, page=3)
    (told,) = json.loads(await printed("json", replace(DOCUMENT, faces=(wide,))))
    assert [told["faces"][0][side] for side in "xywh"] == [50, 100, 50, 100]


async def test_in_csv_no_name_is_a_formula_unless_it_is_asked_for_raw() -> None:
    told = ["=1+1.jpg", "+a", "-a", "@a", "\ta", "\ra", "\na", "\uff1da", "a=b", "'a"]
    rows = [replace(FAILED, cursor=n, name=name, camera="=cmd") for n, name in enumerate(told)]
    text = await printed("csv", *rows)
    safe = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [line["name"] for line in safe] == [f"'{name}" for name in told[:8]] + told[8:]
    assert {line["camera"] for line in safe} == {"'=cmd"}
    raw = list(csv.DictReader(io.StringIO(await printed("csv raw", *rows), newline="")))
    assert [line["name"] for line in raw] == told


async def test_numbers_stay_numbers_in_csv() -> None:
    row = replace(ROW, faces=(Face(x=1, y=2, w=3, h=4, score=0.5, landmarks=(-1.5,) * 10),))
    (line,) = csv.DictReader(io.StringIO(await printed("csv", row)))
    assert line["nose_x"] == "-1.5"


async def test_a_break_in_a_name_does_not_break_a_line_of_csv() -> None:
    rows = [replace(FAILED, name=name) for name in ("a\nb", "a\rb", "a\r\nb")]
    text = await printed("csv", *rows)
    lines = list(csv.DictReader(io.StringIO(text, newline="")))
    assert [line["name"] for line in lines] == ["a\nb", "a\rb", "a\r\nb"]
    assert '"a\rb"' in text
