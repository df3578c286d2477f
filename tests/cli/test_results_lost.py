"""Results that are gone, empty or cut short are put right by the next run, and by a redo."""

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from bench.samples import samples
from tests.cli.test_layout import RECIPE, Tree, inside
from tests.support.faces_command import Faces

FACE = dict(samples())["portrait/as it is.jpg"]


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    tree = Tree(tmp_path)
    yield tree
    tree.close()


@pytest.fixture
def placed(tree: Tree) -> Tree:
    """With one result, `a.jpg`, that is a file of its own: as on a disk without links."""
    tree.layout.place([tree.found(inside(tree, b"a.jpg"))])
    content = (tree.annotated / "a.jpg").read_bytes()
    (tree.annotated / "a.jpg").unlink()
    (tree.annotated / "a.jpg").write_bytes(content)
    return tree


@pytest.mark.parametrize("damage", ["gone", "empty", "short"])
def test_a_result_that_was_lost_is_linked_again(placed: Tree, damage: str) -> None:
    result = placed.annotated / "a.jpg"
    whole = result.read_bytes()
    result.unlink()
    if damage != "gone":
        result.write_bytes(whole[: -1 if damage == "short" else 0])
    member = placed.found(inside(placed, b"a.jpg"))
    assert placed.layout.place([member]) == 1
    assert result.read_bytes() == whole
    assert placed.layout.damaged == {}


@pytest.mark.parametrize("damage", ["gone", "empty", "short"])
def test_what_lost_its_object_is_to_be_searched_again_once(placed: Tree, damage: str) -> None:
    member = placed.found(inside(placed, b"a.jpg"))
    drawn = placed.objects / RECIPE / f"{member.id}.jpg"
    whole = drawn.read_bytes()
    drawn.unlink()
    if damage != "gone":
        drawn.write_bytes(whole[: -1 if damage == "short" else 0])
    assert placed.layout.place([member]) == 0
    assert placed.layout.again() == [member]
    placed.layout.place([member])
    assert placed.layout.again() == [], "another run may try once more"
    assert sum(placed.layout.refusals.values()) == 1
    drawn.write_bytes(b"new")  # shorter, but of another generation
    assert placed.layout.place([replace(member, generation=2)]) == 1
    assert (placed.annotated / "a.jpg").read_bytes() == b"new"
    assert not placed.layout.refusals


def test_what_somebody_added_to_is_left_alone_and_told(placed: Tree) -> None:
    result = placed.annotated / "a.jpg"
    with result.open("ab") as file:
        file.write(b"a caption")
    member = placed.found(inside(placed, b"a.jpg"))
    assert placed.layout.place([member]) == 0
    assert result.read_bytes().endswith(b"a caption")
    assert placed.layout.changed == {member.id}
    assert placed.layout.place([replace(member, generation=2)]) == 1, "a redo makes it anew"
    assert not result.read_bytes().endswith(b"a caption")


@pytest.fixture
def faces(tmp_path: Path) -> Faces:
    """The command, and an OUT of two pictures."""
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "photos" / name).write_bytes(FACE + name.encode())
    faces = Faces(tmp_path, FACES_MODEL="haar")
    done = faces("run", "photos", "-o", "out")
    assert done.returncode == 0, done.stderr
    return faces


def test_a_run_searches_what_is_gone_or_empty_and_nothing_else(faces: Faces) -> None:
    annotated = faces.folder / "out" / "annotated"
    whole = (annotated / "a.jpg").read_bytes()
    os.truncate(annotated / "a.jpg", 0)  # and its object, which is the same file
    done = faces("run", "photos", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert "1 picture searched again, since what an earlier run had drawn was gone" in done.stdout
    assert "1 were finished by an earlier run" in done.stdout
    assert (annotated / "a.jpg").read_bytes() == whole
    rows = json.loads(faces("results", "-o", "out", "--format", "json").stdout)
    assert {row["name"]: row["generation"] for row in rows} == {"a.jpg": 2, "b.jpg": 1}
    for path in (*annotated.iterdir(), *(faces.folder / "out" / "objects").glob("*/*")):
        path.unlink()
    told = json.loads(faces("run", "photos", "-o", "out", "--json").stdout)
    assert (told["searched_again"], told["skipped"], told["failed"]) == (2, 0, 0)
    assert {path.name for path in annotated.iterdir()} == {"a.jpg", "b.jpg"}
    told = json.loads(faces("run", "photos", "-o", "out", "--json").stdout)
    assert (told["searched_again"], told["skipped"]) == (0, 2)


def test_a_redo_makes_a_result_anew(faces: Faces) -> None:
    result = faces.folder / "out" / "annotated" / "a.jpg"
    whole = result.read_bytes()
    os.truncate(result, 0)
    done = faces("redo", "a.jpg", "-o", "out")
    assert done.returncode == 0, done.stderr
    assert result.read_bytes() == whole


def test_an_original_is_moved_away_only_when_it_was_searched_again(faces: Faces) -> None:
    for path in (faces.folder / "out" / "objects").glob("*/*"):
        path.unlink()
    done = faces("run", "photos", "-o", "out", "--done-dir", "done", "--json")
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout)
    assert (told["searched_again"], told["failed"]) == (2, 0)
    assert {path.name for path in (faces.folder / "done").iterdir()} == {"a.jpg", "b.jpg"}
