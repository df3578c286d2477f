"""`faces forget` and `faces sweep`: what a person asked to be gone is gone, and nothing else."""

import io
import os
import shutil
import sqlite3
import sys
import time
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from services.cli.outdir.record import Record
from services.cli.outdir.roots import Roots
from services.cli.outdir.sidecars import Written, write_sidecar
from services.cli.outdir.tree import Tree as Mirror
from shared.catalog import Member, QueuedImage
from shared.folders.folder import Folder
from shared.messages import Status, new_token
from shared.picture_keys import PictureKeys
from tests.support.catalogs import RECIPE, nothing_found, result_of, some_images
from tests.support.command_here import Here, here

__all__ = ["here"]


class Tree:
    """Three pictures in OUT as a run leaves them: `holiday/000000.jpg` and so on."""

    def __init__(self, here: Here) -> None:
        self.here = here
        self.images = some_images(3)
        here.queue(self.images)
        for image in self.images:
            here.draw(image, RECIPE.id)
        here.end(*(result_of(image, annotated=self.key(image)) for image in self.images))
        with self.record() as record:
            out = here.out
            mirror = Mirror(out / "annotated", out / "objects", record, Roots([Path("/")]))
            mirror.place(
                Member(n, image.id, image.source_uri, Status.FACES, self.key(image), RECIPE.id)
                for n, image in enumerate(self.images)
            )

    def record(self) -> AbstractContextManager[Record]:
        return Record.open(Record.file(self.here.out))

    @staticmethod
    def key(image: QueuedImage) -> str:
        return PictureKeys(RECIPE.id, image.id).annotated

    def files(self) -> set[str]:
        """Everything in OUT/annotated and OUT/objects, with how many links it has."""
        out = self.here.out
        folders = (out / "annotated", out / "objects")
        return {
            str(path.relative_to(out))
            for folder in folders
            for path in folder.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def tree(here: Here) -> Tree:
    return Tree(here)


def test_rows_objects_links_records_and_sidecars_go_and_others_stay(tree: Tree) -> None:
    gone, *kept = tree.images
    annotated = tree.here.out / "annotated"
    with tree.record() as opened, Folder.open(annotated) as folder:
        assert write_sidecar(folder, opened, gone.name, ".xmp", b"<who/>") is Written.NEW
    (annotated / f"{gone.name}.xmp").write_bytes(b"<who name='Anna'/>")
    answer = tree.here.on("forget", "*000000*", "--yes")
    assert answer.status == 0
    assert answer.out.startswith("1 entry forgotten, 2 files in ")
    assert tree.here.show(gone.name) == []
    expected = {f"annotated/{image.name}" for image in kept}
    assert tree.files() == expected | {f"objects/{tree.key(image)}" for image in kept}
    record = sqlite3.connect(tree.here.out / ".faces" / "layout.db")
    told = record.execute("SELECT source FROM places").fetchall()
    left = record.execute("SELECT name FROM sidecars").fetchall()
    record.close()
    assert {source for (source,) in told} == {image.source_uri for image in kept}
    assert left == []
    again = tree.here.on("forget", "*000000*", "--yes")
    assert (again.status, again.out) == (0, "0 entries forgotten\n")


def test_a_folder_that_is_empty_then_goes_too(tree: Tree) -> None:
    tree.here.on("forget", "holiday/*", "--yes")
    assert list((tree.here.out / "annotated").iterdir()) == []


def test_a_dry_run_tells_and_deletes_nothing(tree: Tree) -> None:
    before = tree.files()
    answer = tree.here.on("forget", "*", "--dry-run")
    assert answer.out.splitlines()[-1] == "3 entries would be forgotten"
    assert all(image.name in answer.out for image in tree.images)
    assert tree.files() == before
    assert len(tree.here.show(tree.images[0].name)) == 1


def test_an_id_means_one_picture(tree: Tree) -> None:
    assert tree.here.on("forget", tree.images[1].id, "-y").out.startswith("1 entry forgotten")
    assert [bool(tree.here.show(image.name)) for image in tree.images] == [True, False, True]


@pytest.mark.parametrize("command", [["forget", "*"], ["sweep"]])
def test_without_a_terminal_it_wants_yes(tree: Tree, command: list[str]) -> None:
    stray(tree.here, age=7200)
    before = tree.files()
    answer = tree.here.on(*command)
    assert answer.status == 2
    assert "give --yes, or --dry-run" in answer.err
    assert tree.files() == before


@pytest.mark.parametrize(("reply", "left"), [("n", 3), ("y", 0)])
def test_on_a_terminal_it_asks(
    tree: Tree, monkeypatch: pytest.MonkeyPatch, reply: str, left: int
) -> None:
    terminal = io.StringIO(f"{reply}\n")
    monkeypatch.setattr(terminal, "isatty", lambda: True)
    monkeypatch.setattr(sys, "stdin", terminal)
    answer = tree.here.on("forget", "*")
    assert answer.status == (2 if left else 0)
    assert sum(bool(tree.here.show(image.name)) for image in tree.images) == left


def test_pictures_that_are_kept_elsewhere_are_not_left_behind_without_a_row(tree: Tree) -> None:
    answer = tree.here.on("forget", "*", "--objects", "file:///tmp/", "--yes")
    assert answer.status == 2
    assert f"give --objects {(tree.here.out / 'objects').as_uri()}" in answer.err
    assert len(tree.here.show(tree.images[0].name)) == 1


def test_a_folder_that_was_moved_is_still_the_place(tree: Tree) -> None:
    moved = tree.here.out.with_name("moved")
    shutil.move(tree.here.out, moved)
    answer = tree.here("forget", "*", "--yes", "-o", moved)
    assert answer.status == 0, answer.err
    assert answer.out.startswith("3 entries forgotten, 3 files")


def test_a_catalog_alone_does_not_say_where_the_pictures_are(tree: Tree) -> None:
    answer = tree.here("forget", "*", "--yes", "--database", tree.here.url)
    assert answer.status == 2
    assert "Give -o OUT of a run, or --objects URL" in answer.err


def stray(here: Here, age: float) -> Path:
    """An object without a row."""
    path = here.draw(QueuedImage(new_token(), "stray"), RECIPE.id)
    moment = time.time() - age
    os.utime(path, (moment, moment))
    return path


def test_a_sweep_deletes_old_objects_that_no_row_names(tree: Tree) -> None:
    before = tree.files()
    old, young = stray(tree.here, age=7200), stray(tree.here, age=0)
    not_ours = tree.here.out / "objects" / "notes.txt"
    not_ours.write_text("mine")
    os.utime(not_ours, (0, 0))
    dry = tree.here.on("sweep", "--dry-run")
    assert dry.out.splitlines() == [f"{RECIPE.id}/{old.name}", "1 object without a row"]
    assert old.exists()
    assert tree.here.on("sweep", "--yes").out == "1 object deleted\n"
    assert (old.exists(), young.exists(), not_ours.exists()) == (False, True, True)
    assert before <= tree.files()
    assert tree.here.on("sweep", "--yes").out == "0 objects without a row\n"
    assert tree.here.on("sweep", "--yes", "--older-than", "0").out == "1 object deleted\n"


def test_a_catalog_that_is_not_of_this_store_sweeps_nothing(tree: Tree, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(tree.here.out / "objects", other)
    for path in (other / RECIPE.id).iterdir():  # another deployment's
        path.rename(path.with_name(f"{new_token()}.jpg"))
    answer = tree.here.on("sweep", "--yes", "--older-than", "0", "--objects", other.as_uri())
    assert answer.status == 2
    assert f"give --objects {(tree.here.out / 'objects').as_uri()}" in answer.err
    assert len(list((other / RECIPE.id).iterdir())) == 3


def test_a_catalog_that_was_lost_and_made_anew_sweeps_nothing(tree: Tree) -> None:
    before = tree.files()
    for path in tree.here.out.glob("faces.db*"):
        path.unlink()
    tree.here.queue(tree.images)
    answer = tree.here.on("sweep", "--yes", "--older-than", "0")
    assert answer.status == 2
    assert "is it the right catalog?" in answer.err
    assert tree.files() == before


def test_what_was_forgotten_can_be_named_again(tree: Tree) -> None:
    tree.here.on("forget", "*", "--yes")
    tree.here.queue(tree.images, "6" * 32)
    tree.here.end(nothing_found(tree.images[0], generation=2))
    (row,) = tree.here.show(tree.images[0].name)
    assert row.generation == 2
