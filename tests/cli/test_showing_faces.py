"""Where faces are hidden by now, a run says what in OUT still shows them, and `sweep` clears it."""

import json
from pathlib import Path

import pytest

from bench.samples import samples
from tests.support.faces_command import Faces

SAMPLES = dict(samples())


@pytest.fixture
def faces(tmp_path: Path) -> Faces:
    """The command, and `photos`: one with a face, one without."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "face.jpg").write_bytes(SAMPLES["portrait/as it is.jpg"])
    (tmp_path / "photos" / "moon.jpg").write_bytes(SAMPLES["no face/moon.jpg"])
    return Faces(tmp_path, FACES_MODEL="haar")


def run(faces: Faces, *options: str) -> dict[str, int]:
    done = faces("run", "photos", "-o", "my out", "--json", *options)
    assert done.returncode == 0, done.stderr
    told: dict[str, int] = json.loads(done.stdout)
    return told


def objects(faces: Faces) -> set[str]:
    return {path.parent.name for path in (faces.folder / "my out" / "objects").rglob("*.jpg")}


def recipe_of(faces: Faces, status: str = "faces") -> set[str]:
    done = faces("results", "-o", "my out", "--format", "json", "--status", status)
    return {row["recipe"] for row in json.loads(done.stdout)}


def test_a_run_that_hides_counts_what_still_shows_and_its_command_clears_it(faces: Faces) -> None:
    assert run(faces)["still_showing"] == 0, "boxes are what was asked for"
    assert run(faces, "--crops")["still_showing"] == 0
    assert run(faces, "--mode", "solid")["still_showing"] == 2
    told = faces("run", "photos", "-o", "my out", "--mode", "solid").stdout
    assert "2 pictures of earlier runs still show faces; what deletes them: " in told
    assert "sweep --showing-faces -o 'my out'" in told

    hidden = (faces.folder / "my out" / "annotated" / "face.jpg").read_bytes()
    dry = faces("sweep", "--showing-faces", "-o", "my out", "--dry-run").stdout
    assert dry.endswith("2 pictures that show faces\n")
    assert len(objects(faces)) == 4, "two recipes, crops of one of them in a folder, and the last"
    unasked = faces("sweep", "--showing-faces", "-o", "my out")
    assert unasked.returncode == 2, "nobody can be asked"

    swept = faces("sweep", "--showing-faces", "-o", "my out", "--yes")
    assert swept.stdout.endswith("2 entries forgotten\n"), swept.stderr
    assert objects(faces) == recipe_of(faces)
    assert len(objects(faces)) == 1
    assert (faces.folder / "my out" / "annotated" / "face.jpg").read_bytes() == hidden
    assert run(faces, "--mode", "solid")["still_showing"] == 0
    assert run(faces)["images"] == 2, "who asks for boxes again gets them"


def test_crops_show_faces_whatever_the_mode(faces: Faces) -> None:
    run(faces, "--mode", "blur", "--crops")
    assert run(faces, "--mode", "blur")["still_showing"] == 1


def test_a_run_says_where_it_shows_faces_that_were_hidden(faces: Faces) -> None:
    run(faces, "--mode", "blur")
    done = faces("run", "photos", "-o", "my out")
    assert "1 result that hid faces replaced by those of this run, which show them" in done.stdout
    assert run(faces)["uncovered"] == 0, "told once, by the run that did it"
    assert run(faces, "--mode", "blur")["uncovered"] == 0


def test_hiding_in_another_way_uncovers_nothing(faces: Faces) -> None:
    run(faces, "--mode", "blur")
    assert run(faces, "--mode", "solid")["uncovered"] == 0
