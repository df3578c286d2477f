"""With `--copy-rest`, pictures without faces have files too: every command knows them."""

import io
import json
from pathlib import Path

import pytest
from PIL import Image

from bench.samples import samples
from tests.support.faces_command import Faces

SAMPLES = dict(samples())
HOW = ("--mode", "blur", "--copy-rest", "--format", "same")


@pytest.fixture
def faces(tmp_path: Path) -> Faces:
    """The command, and an OUT with the copy of one picture without faces, a PNG."""
    (tmp_path / "photos").mkdir()
    with Image.open(io.BytesIO(SAMPLES["no face/moon.jpg"])) as moon:
        moon.save(tmp_path / "photos" / "moon.png")
    faces = Faces(tmp_path, FACES_MODEL="haar")
    done = faces("run", "photos", "-o", "out", *HOW)
    assert done.returncode == 0, done.stderr
    return faces


def files(faces: Faces, folder: str) -> list[Path]:
    return [path for path in (faces.folder / "out" / folder).rglob("*") if path.is_file()]


def test_the_row_of_a_copied_picture_names_its_copy_and_sweeps_leave_it(faces: Faces) -> None:
    (row,) = json.loads(faces("results", "-o", "out", "--format", "json").stdout)
    (kept,) = files(faces, "objects")
    assert (row["status"], row["annotated_uri"]) == ("no_faces", kept.as_uri())
    assert kept.suffix == ".png"
    assert [path.name for path in files(faces, "annotated")] == ["moon.png"]

    swept = faces("sweep", "-o", "out", "--older-than", "0", "--yes")
    assert swept.returncode == 0, swept.stderr
    showing = faces("sweep", "--showing-faces", "-o", "out", "--dry-run")
    assert showing.stdout == "0 pictures that show faces\n"
    assert files(faces, "objects") == [kept]


def test_a_copied_picture_that_is_done_again_has_its_copy_still(faces: Faces) -> None:
    (kept,) = files(faces, "objects")
    done = faces("redo", "moon.png", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert files(faces, "objects") == [kept]
    assert [path.name for path in files(faces, "annotated")] == ["moon.png"]


def test_a_forgotten_picture_takes_its_copy_along(faces: Faces) -> None:
    gone = faces("forget", "moon.png", "-o", "out", "--yes")
    assert gone.stdout == "1 entry forgotten, 1 file in out/annotated deleted\n", gone.stderr
    assert files(faces, "objects") == files(faces, "annotated") == []


def test_a_copy_in_another_store_keeps_forget_from_deleting_in_this_one(faces: Faces) -> None:
    (faces.folder / "other").mkdir()
    other = (faces.folder / "other").as_uri()
    refused = faces("forget", "moon.png", "-o", "out", "--objects", other, "--yes")
    assert refused.returncode != 0
    assert len(files(faces, "objects")) == 1
    assert len(json.loads(faces("results", "-o", "out", "--format", "json").stdout)) == 1
