"""A folder with a file of every kind: a row for each, the same face in each, and the rest told."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.support.every_kind import JPEGS, NOT_READ, SAME_FACE
from tests.support.faces_command import Faces

NEAR = 2.0
"""Pixels by which a box may differ from that of the same picture as a JPEG."""

CUT = {"without-end.jpg", "cut.jpg", "cut.png"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One of each kind, and the JPEGs that boxes are compared with."""
    folder = tmp_path_factory.mktemp("kinds")
    (folder / "in").mkdir()
    made = {**JPEGS, **SAME_FACE, **{name: it[0] for name, it in NOT_READ.items()}}
    for name, make in made.items():
        (folder / "in" / name).write_bytes(make())
    return folder


@pytest.fixture(scope="module")
def said(folder: Path, sample_models: Path) -> str:
    """What one run tells, searching as usual."""
    faces = Faces(folder, FACES_MODEL="yunet", FACES_MODELS_DIR=str(sample_models))
    done = faces("run", "in", "-o", "out")
    assert done.returncode == 3, "some failed"
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def rows(folder: Path, said: str) -> dict[str, Any]:  # Any: rows as JSON has them
    """The rows of that run, by name."""
    told = Faces(folder)("results", "-o", "out", "--format", "json")
    return {Path(row["name"]).name: row for row in json.loads(told.stdout)}


def test_every_file_has_a_row(rows: dict[str, Any], folder: Path) -> None:
    names = {path.name for path in (folder / "in").iterdir()}

    assert len(names) > 30
    assert rows.keys() == names


@pytest.mark.parametrize("name", SAME_FACE)
def test_the_face_is_where_it_is_in_the_jpeg(name: str, rows: dict[str, Any]) -> None:
    row = rows[name]
    (wanted,) = rows["256-colours.jpg" if name.endswith(".gif") else "baseline.jpg"]["faces"]

    assert row["status"] == "faces", row["reason"]
    for face in row["faces"]:
        assert all(face[side] == pytest.approx(wanted[side], abs=NEAR) for side in "xywh")


@pytest.mark.parametrize("name", NOT_READ)
def test_what_is_not_read_says_so_in_its_row(name: str, rows: dict[str, Any]) -> None:
    assert (rows[name]["status"], rows[name]["code"]) == ("failed", NOT_READ[name][1])


def test_the_rows_of_cut_files_say_so_and_no_others(rows: dict[str, Any]) -> None:
    assert {name for name, row in rows.items() if row["cut"]} == CUT


def test_the_run_names_what_was_not_read_and_what_is_cut(said: str) -> None:
    assert f"{len(CUT)} files cut short, searched as far as they go" in said
    for kind in ("1 video (.mp4)", "1 drawing (.svg)", "1 document (.pdf)"):
        assert kind in said
    assert "--status failed" in said
