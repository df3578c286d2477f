"""`--sidecar json|xmp`: photo managers find the faces, and what people changed stays theirs."""

import json
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

from bench.samples import samples
from services.cli.formats.xmp import AREA, DC, DIMENSIONS, RDF, REGIONS, X, sidecar
from services.cli.outdir.sidecars import Written, drop_stale_sidecars, write_sidecar
from shared.folders.folder import Folder
from shared.messages import Face
from tests.cli.test_forget import Tree, tree
from tests.cli.test_formats import ROW
from tests.support.command_here import Here, here
from tests.support.faces_command import Faces

__all__ = ["here", "tree"]

FACE = dict(samples())["portrait/as it is.jpg"]

Box = tuple[float, float, float, float]


def boxes(packet: bytes) -> tuple[list[Box], tuple[int, int]]:
    """Left, top, width and height of each region in pixels, and the size, as a reader has them."""
    root = ET.fromstring(packet)
    assert root.tag == f"{{{X}}}xmpmeta"
    (size,) = root.iter(f"{{{REGIONS}}}AppliedToDimensions")
    assert size.get(f"{{{DIMENSIONS}}}unit") == "pixel"
    width, height = (int(size.get(f"{{{DIMENSIONS}}}{side}", "")) for side in "wh")
    path = f".//{{{REGIONS}}}RegionList/{{{RDF}}}Bag/{{{RDF}}}li/{{{RDF}}}Description"
    found = []
    for region in root.findall(path):
        assert region.get(f"{{{REGIONS}}}Type") == "Face"
        (area,) = region.findall(f"{{{REGIONS}}}Area")
        assert area.get(f"{{{AREA}}}unit") == "normalized"
        x, y, w, h = (float(area.get(f"{{{AREA}}}{name}", "")) for name in "xywh")
        assert all(
            -1e-6 <= edge <= 1 + 1e-6 for edge in (x - w / 2, x + w / 2, y - h / 2, y + h / 2)
        )
        found.append(((x - w / 2) * width, (y - h / 2) * height, w * width, h * height))
    return found, (width, height)


def test_regions_are_the_faces_with_their_centres_normalised() -> None:
    second = Face(x=100.5, y=200.25, w=64, h=48, score=0.8)
    read, size = boxes(sidecar(replace(ROW, faces=(ROW.faces[0], second))))
    assert size == (640, 480)
    assert read[0] == pytest.approx((10, 20, 30, 40), abs=0.01)
    assert read[1] == pytest.approx((100.5, 200.25, 64, 48), abs=0.01)


def test_a_face_that_reaches_over_the_edge_is_cut_there() -> None:
    over = tuple(Face(x=x, y=y, w=40, h=40, score=0.9) for x, y in ((-10, -20), (620, 470)))
    read, _ = boxes(sidecar(replace(ROW, faces=over)))
    assert read[0] == pytest.approx((0, 0, 30, 20), abs=0.01)
    assert read[1] == pytest.approx((620, 470, 20, 10), abs=0.01)


@pytest.mark.parametrize(
    "name", ['a & <b> "c".jpg', "]]><x>.jpg", "line\nend\x00\x1b.jpg", "sur\udcffrogate", "é🙂.jpg"]
)
def test_any_name_gives_well_formed_xmp(name: str) -> None:
    (source,) = ET.fromstring(sidecar(replace(ROW, name=name))).iter(f"{{{DC}}}source")
    if name.isprintable():
        assert source.text == name
    else:
        assert source.text is not None and source.text.isprintable()


def test_results_writes_them_beside_the_pictures_of_a_filter(tree: Tree) -> None:
    first, second, _ = tree.images
    answer = tree.here.on(
        "results", "--name", "*00[01].jpg", "--sidecar", "xmp", "--sidecar", "json"
    )
    assert (answer.status, answer.out) == (0, "")
    assert answer.err == "4 sidecars written, 0 up to date\n"
    annotated = tree.here.out / "annotated"
    written = {path.name for path in annotated.rglob("*") if path.suffix in (".xmp", ".json")}
    assert written == {
        "000000.jpg.json", "000000.jpg.xmp", "000001.jpg.json", "000001.jpg.xmp"
    }  # fmt: skip
    told = json.loads((annotated / f"{second.name}.json").read_bytes())
    assert (told["name"], len(told["faces"])) == (second.name, 2)
    assert len(boxes((annotated / f"{first.name}.xmp").read_bytes())[0]) == 2
    again = tree.here.on("results", "--name", "*00[01].jpg", "--sidecar", "xmp")
    assert again.err == "0 sidecars written, 2 up to date\n"


def test_what_others_made_or_changed_is_left_alone(tree: Tree) -> None:
    theirs, changed, ours = (
        tree.here.out / "annotated" / f"{image.name}.xmp" for image in tree.images
    )
    theirs.write_bytes(b"<theirs/>")
    assert tree.here.on("results", "--sidecar", "xmp").err.startswith("2 sidecars written")
    changed.write_bytes(b"<named/>")
    ours.unlink()
    answer = tree.here.on("results", "--sidecar", "xmp")
    assert "1 sidecar written, 0 up to date; 2 that others made" in answer.err
    assert (theirs.read_bytes(), changed.read_bytes()) == (b"<theirs/>", b"<named/>")
    assert len(boxes(ours.read_bytes())[0]) == 2


def test_one_that_is_still_ours_is_replaced_and_goes_with_its_picture(tree: Tree) -> None:
    image, *_ = tree.images
    annotated = tree.here.out / "annotated"
    with tree.record() as record, Folder.open(annotated) as folder:
        for content, became in ((b"old", "NEW"), (b"new", "NEW"), (b"new", "SAME")):
            written = write_sidecar(folder, record, image.name, ".xmp", content)
            assert written is Written[became]
        record.drop(str(image.source_uri))
        assert drop_stale_sidecars(folder, record) == 1
    assert not (tree.here.out / "annotated" / f"{image.name}.xmp").exists()


def test_results_wants_the_folder_of_a_run(here: Here) -> None:
    assert "give -o OUT" in here("results", "--sidecar", "xmp", "--database", here.url).err
    assert "no annotated pictures in" in here.on("results", "--sidecar", "xmp").err


def test_a_run_writes_them_and_later_runs_keep_them_up_to_date(tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    (photos / "me & you.jpg").write_bytes(FACE)
    faces = Faces(tmp_path, FACES_MODEL="haar")
    done = faces("run", photos, "-o", "out", "--sidecar", "xmp")
    assert done.returncode == 0, done.stderr
    told = json.loads(faces("results", "-o", "out", "--format", "json").stdout)
    beside = tmp_path / "out" / "annotated" / "me & you.jpg.xmp"
    (box,), size = boxes(beside.read_bytes())
    face = told[0]["faces"][0]
    assert box == pytest.approx([face[name] for name in "xywh"], abs=0.01)
    assert size == (told[0]["width"], told[0]["height"])
    (photos / "new.jpg").write_bytes(FACE + b"\0")
    faces("run", photos, "-o", "out")
    assert (beside.parent / "new.jpg.xmp").is_file()


def test_a_run_with_objects_elsewhere_refuses_before_it_starts(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").write_bytes(FACE)
    faces = Faces(tmp_path, FACES_MODEL="haar")
    done = faces("run", "a.jpg", "-o", "out", "--sidecar", "xmp", "--objects", "s3://bucket/x")
    assert done.returncode == 2
    assert "keep --objects in a folder" in done.stderr
    assert not (tmp_path / "out").exists()
