"""`--sidecar xmp --beside originals`: regions where photo managers look, among what is theirs."""

import json
import os
import shutil
import subprocess
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from bench.samples import samples
from services.cli.formats.turning import Box, stored_box, stored_size
from services.cli.formats.xmp_merging import NotMergeable, Region, merge
from tests.support.faces_command import Faces

FACE = Image.open(BytesIO(dict(samples())["portrait/as it is.jpg"]))
SIZE = (400, 300)
ROTATED = 150

TURN_BACK = {
    1: None,
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What makes of an upright picture the one that a camera stores under each orientation."""

Corners = tuple[float, float, float, float]


def stored(upright: Image.Image, orientation: int) -> Image.Image:
    """A picture as a camera stores it."""
    turn = TURN_BACK[orientation]
    return upright if turn is None else upright.transpose(turn)


def save(upright: Image.Image, path: Path, orientation: int) -> None:
    """Store a picture under an orientation that says how to turn it."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    path.parent.mkdir(parents=True, exist_ok=True)
    stored(upright, orientation).save(path, quality=95, exif=exif)


def portrait(left: int = 0, top: int = 0) -> Image.Image:
    """A face on a grey ground, whose place is told by its left and top."""
    ground = Image.new("RGB", SIZE, (128, 128, 128))
    ground.paste(FACE.resize((240, 240 * FACE.height // FACE.width)), (left, top))
    return ground


def lies_at(box: dict[str, float], orientation: int) -> Corners:
    """Left, top, right and bottom, in the stored picture, of a box of the upright one."""
    mask = Image.new("L", (SIZE[0] * 4, SIZE[1] * 4))
    left, top = round(4 * box["x"]), round(4 * box["y"])
    right, bottom = round(4 * (box["x"] + box["w"])), round(4 * (box["y"] + box["h"]))
    mask.paste(255, (left, top, right, bottom))
    found = stored(mask, orientation).getbbox()
    assert found is not None
    left, top, right, bottom = found
    return left / 4, top / 4, right / 4, bottom / 4


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_box_is_turned_to_where_its_pixels_are_stored(orientation: int) -> None:
    box = {"x": 40.0, "y": 30.0, "w": 100.0, "h": 60.0}
    width, height = stored_size(*SIZE, orientation)
    whole = Box((40 + 50) / SIZE[0], (30 + 30) / SIZE[1], 100 / SIZE[0], 60 / SIZE[1])
    x, y, w, h = stored_box(whole, orientation)
    told = ((x - w / 2) * width, (y - h / 2) * height, (x + w / 2) * width, (y + h / 2) * height)
    assert told == pytest.approx(lies_at(box, orientation), abs=0.01)


@pytest.fixture
def faces(tmp_path: Path) -> Faces:
    """The command, in an empty folder, with the model that needs no download."""
    return Faces(tmp_path, FACES_MODEL="haar")


def beside(faces: Faces, *more: str) -> str:
    """Run on `photos`, without pictures of its own; what it says."""
    wanted = ("--mode", "none", "--sidecar", "xmp", "--beside", "originals")
    done = faces("run", "photos", "-o", "out", *wanted, *more)
    assert done.returncode == 0, done.stderr
    return done.stderr


def rows(faces: Faces) -> dict[str, dict[str, Any]]:
    """The catalog, by the names of pictures. (Any: values of all types.)"""
    told = json.loads(faces("results", "-o", "out", "--format", "json").stdout)
    return {row["name"]: row for row in told}


def regions(*files: Path) -> dict[str, dict[str, Any]]:
    """`RegionInfo` of some files, by their names, as exiftool reads it. (Any: as above.)"""
    if shutil.which("exiftool") is None:
        pytest.skip("exiftool is not installed: apt-get install libimage-exiftool-perl")
    command = ["exiftool", "-json", "-struct", "-RegionInfo", *map(str, files)]
    told = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
    return {Path(one["SourceFile"]).name: one["RegionInfo"] for one in told}


def test_of_150_rotated_originals_exiftool_reads_every_region_on_its_face(
    faces: Faces, tmp_path: Path
) -> None:
    photos = tmp_path / "photos"
    for n in range(ROTATED):
        save(portrait(n, n % 60), photos / f"{n:03}.jpg", n % 8 + 1)

    assert f"{ROTATED} sidecars beside originals written" in beside(faces)

    read = regions(*photos.glob("*.xmp"))
    assert len(read) == ROTATED
    for name, row in rows(faces).items():
        told, orientation = read[f"{name}.xmp"], int(name[:3]) % 8 + 1
        size = told["AppliedToDimensions"]
        with Image.open(photos / name) as original:
            assert (size["W"], size["H"], size["Unit"]) == (*original.size, "pixel")
        assert row["orientation"] == orientation
        assert len(told["RegionList"]) == len(row["faces"]) > 0
        for region, face in zip(told["RegionList"], row["faces"], strict=True):
            x, y, w, h = (region["Area"][side] for side in "XYWH")
            assert (region["Type"], region["Area"]["Unit"]) == ("Face", "normalized")
            corners = (
                (x - w / 2) * size["W"],
                (y - h / 2) * size["H"],
                (x + w / 2) * size["W"],
                (y + h / 2) * size["H"],
            )
            assert corners == pytest.approx(lies_at(face, orientation), abs=0.3)


def test_originals_stay_byte_by_byte_and_a_second_run_changes_nothing(
    faces: Faces, tmp_path: Path
) -> None:
    original = tmp_path / "photos" / "trip" / "a.jpg"
    save(portrait(), original, 6)
    before = original.read_bytes()
    beside(faces)
    sidecar = original.with_name("a.jpg.xmp")
    first = sidecar.stat()

    said = faces("run", "photos", "-o", "out", "--mode", "none").stderr

    assert "0 sidecars beside originals written, 1 up to date" in said
    second = sidecar.stat()
    assert (second.st_ino, second.st_mtime_ns) == (first.st_ino, first.st_mtime_ns)
    assert original.read_bytes() == before


def test_without_annotated_pictures_a_run_says_where_sidecars_can_lie(
    faces: Faces, tmp_path: Path
) -> None:
    save(portrait(), tmp_path / "photos" / "a.jpg", 1)
    done = faces("run", "photos", "-o", "out", "--mode", "none", "--sidecar", "xmp")
    assert "--beside originals" in done.stderr
    later = faces("results", "-o", "out", "--sidecar", "xmp", "--beside", "originals")
    assert "1 sidecar beside originals written" in later.stderr
    assert (tmp_path / "photos" / "a.jpg.xmp").is_file()


THEIRS = """<?xpacket begin="\ufeff" id="W5M0MpCehiHzreSzNTczkc9d"?>
<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF
 xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#"><rdf:Description rdf:about=""
  xmlns:dc="http://purl.org/dc/elements/1.1/" xmlns:odd="http://odd.example/ns/"
  xmlns:mwg="http://www.metadataworkinggroup.com/schemas/regions/"
  xmlns:stArea="http://ns.adobe.com/xmp/sType/Area#"
  xmlns:stDim="http://ns.adobe.com/xap/1.0/sType/Dimensions#" odd:kept="yes">
  <dc:subject><rdf:Bag><rdf:li>family</rdf:li></rdf:Bag></dc:subject>
  <!-- theirs --><odd:thing odd:deep="1"><odd:more>text</odd:more></odd:thing>
  <mwg:Regions rdf:parseType="Resource">
   <mwg:AppliedToDimensions rdf:parseType="Resource">
    <stDim:w>400</stDim:w><stDim:h>300</stDim:h><stDim:unit>pixel</stDim:unit>
   </mwg:AppliedToDimensions>
   <mwg:RegionList><rdf:Bag><rdf:li rdf:parseType="Resource">
     <mwg:Name>Anna</mwg:Name><mwg:Type>Face</mwg:Type>
     <mwg:Area rdf:parseType="Resource"><stArea:x>0.25</stArea:x><stArea:y>0.5</stArea:y>
      <stArea:w>0.2</stArea:w><stArea:h>0.3</stArea:h></mwg:Area>
   </rdf:li></rdf:Bag></mwg:RegionList>
  </mwg:Regions></rdf:Description></rdf:RDF></x:xmpmeta>
<?xpacket end="w"?>""".encode()

ANNA = Region(Box(0.26, 0.51, 0.18, 0.28), 0.9)
OTHER = Region(Box(0.75, 0.25, 0.1, 0.1), 0.8)


def areas(packet: bytes, tmp_path: Path) -> list[tuple[str, float]]:
    """Name and centre of each region, as exiftool reads them."""
    file = tmp_path / "read.xmp"
    file.write_bytes(packet)
    found = regions(file)["read.xmp"]["RegionList"]
    return [(one.get("Name", ""), one["Area"]["X"]) for one in found]


def test_a_face_that_has_a_region_of_theirs_is_not_doubled(tmp_path: Path) -> None:
    merged = merge(THEIRS, [ANNA, OTHER], (400, 300)).content
    assert areas(merged, tmp_path) == [("Anna", 0.25), ("", 0.75)]


def test_what_others_wrote_survives_and_our_regions_go_again_without_a_trace() -> None:
    merged = merge(THEIRS, [ANNA, OTHER], (400, 300)).content
    kept = (b"<dc:subject><rdf:Bag><rdf:li>family", b'odd:kept="yes"', b"<!-- theirs -->")
    for theirs in (*kept, b'<odd:thing odd:deep="1"><odd:more>text</odd:more></odd:thing>'):
        assert theirs in merged
    cleared = merge(merged, [], (400, 300)).content
    assert b"faces-in-the-cloud" not in cleared
    assert b"Anna" in cleared and b"0.75" not in cleared
    assert merge(THEIRS, [ANNA], (400, 300)).content is THEIRS, "nothing to add"


def test_our_regions_are_renewed_and_those_with_a_name_are_not_ours_any_more(
    tmp_path: Path,
) -> None:
    first = merge(None, [ANNA, OTHER], (400, 300)).content
    renewed = merge(first, [OTHER], (400, 300)).content
    assert areas(renewed, tmp_path) == [("", 0.75)]
    named = first.replace(b'mwg-rs:Type="Face"', b'mwg-rs:Type="Face" mwg-rs:Name="Bo"', 1)
    assert areas(merge(named, [OTHER], (400, 300)).content, tmp_path) == [
        ("Bo", 0.26), ("", 0.75)
    ]  # fmt: skip
    assert merge(first, [], (400, 300)).empty


@pytest.mark.parametrize(
    ("packet", "why"),
    [
        (b"not xml", "it is no XML"),
        (b"<a/>", "it is no XMP"),
        (
            THEIRS.replace(b'9d"?>\n', b'9d"?>\n<!DOCTYPE a [<!ENTITY e "x">]>\n', 1),
            "document type",
        ),
        (b" " * (17 << 20), "16 MiB"),
        (THEIRS.replace(b">400<", b">300<").replace(b"h>300<", b"h>400<"), "of a picture of 300"),
    ],
)
def test_what_is_no_xmp_or_of_another_picture_is_refused(packet: bytes, why: str) -> None:
    with pytest.raises(NotMergeable, match=why):
        merge(packet, [ANNA], (400, 300))


def test_entities_are_not_resolved() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaaaaaaaa">]><x:xmpmeta xmlns:x="adobe:ns:meta/">&a;'
    with pytest.raises(NotMergeable, match="document type"):
        merge(bomb + b"</x:xmpmeta>", [ANNA], (400, 300))


def test_a_sidecar_of_another_program_is_added_to(faces: Faces, tmp_path: Path) -> None:
    original = tmp_path / "photos" / "a.jpg"
    save(portrait(), original, 1)
    sidecar = original.with_suffix(".xmp")
    sidecar.write_bytes(THEIRS.replace(b"0.25<", b"0.95<"))
    sidecar.chmod(0o640)
    beside(faces)
    told = sidecar.read_bytes()
    assert b"Anna" in told and b"faces-in-the-cloud" in told
    assert sidecar.stat().st_mode & 0o777 == 0o640
    assert not original.with_name("a.jpg.xmp").exists()

    assert faces("forget", "a.jpg", "-o", "out", "-y").returncode == 0
    assert b"Anna" in sidecar.read_bytes()
    assert b"faces-in-the-cloud" not in sidecar.read_bytes()


def test_the_sidecar_of_a_raw_file_beside_is_not_taken_for_the_jpegs(
    faces: Faces, tmp_path: Path
) -> None:
    original = tmp_path / "photos" / "a.jpg"
    save(portrait(), original, 1)
    original.with_suffix(".cr2").write_bytes(b"raw")
    original.with_suffix(".xmp").write_bytes(THEIRS)
    faces("run", "photos/a.jpg", "-o", "out", "--sidecar", "xmp", "--beside", "originals")
    assert original.with_suffix(".xmp").read_bytes() == THEIRS
    assert original.with_name("a.jpg.xmp").is_file()


def test_forgetting_a_picture_deletes_the_sidecar_that_we_made(
    faces: Faces, tmp_path: Path
) -> None:
    original = tmp_path / "photos" / "a.jpg"
    save(portrait(), original, 1)
    beside(faces)
    assert original.with_name("a.jpg.xmp").is_file()
    assert faces("forget", "a.jpg", "-o", "out", "-y").returncode == 0
    assert [path.name for path in (tmp_path / "photos").iterdir()] == ["a.jpg"]


def test_what_cannot_be_written_is_told_and_the_rest_goes_on(faces: Faces, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    for name in ("changed.jpg", "link.jpg", "odd.jpg", "ok.jpg"):
        save(portrait(), photos / name, 3)
    elsewhere = tmp_path / "elsewhere.xmp"
    elsewhere.write_bytes(THEIRS)
    (photos / "link.jpg.xmp").symlink_to(elsewhere)
    (photos / "odd.jpg.xmp").write_bytes(b"not xml")
    faces("run", "photos", "-o", "out", "--mode", "none")
    os.utime(photos / "changed.jpg", (1, 1))

    said = faces("results", "-o", "out", "--sidecar", "xmp", "--beside", "originals").stderr

    assert "1 sidecar beside originals written" in said
    assert "1 original changed or gone since the search" in said
    assert "link.jpg.xmp is a link" in said
    assert "odd.jpg: it is no XML" in said
    assert elsewhere.read_bytes() == THEIRS
    assert (photos / "odd.jpg.xmp").read_bytes() == b"not xml"


def test_a_folder_that_cannot_be_written_is_told(faces: Faces, tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("the super-user may write everywhere")
    original = tmp_path / "photos" / "a.jpg"
    save(portrait(), original, 1)
    original.parent.chmod(0o500)
    assert "no sidecar: the folder of a.jpg: Permission denied" in beside(faces)
    original.parent.chmod(0o700)


@pytest.mark.parametrize("forms", [(), ("--sidecar", "json")])
def test_only_xmp_lies_beside_originals(faces: Faces, tmp_path: Path, forms: Sequence[str]) -> None:
    save(portrait(), tmp_path / "photos" / "a.jpg", 1)
    done = faces("run", "photos", "-o", "out", *forms, "--beside", "originals")
    assert done.returncode == 2
    assert "--beside originals goes with --sidecar xmp" in done.stderr
    assert not (tmp_path / "out").exists()
