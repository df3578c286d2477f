"""The mirrored tree: names are kept, made safe, never shared; placing again changes nothing."""

import os
import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.cli.outdir.names import result_path
from services.cli.outdir.record import Record
from services.cli.outdir.roots import Roots
from services.cli.outdir.tree import Tree as Mirror
from shared.catalog import Member
from shared.identity import reference_id
from shared.messages import Status
from shared.picture_keys import PictureKeys
from shared.urls import file_uri

RECIPE = "haar-0123456789"


class Tree:
    """A folder of pictures, their objects, and the layout over both."""

    def __init__(self, folder: Path, *inputs: str) -> None:
        self.folder = folder
        self.inputs = [folder / name for name in inputs or ("photos",)]
        for path in self.inputs:
            path.mkdir(parents=True, exist_ok=True)
        self.annotated = folder / "out" / "annotated"
        self.objects = folder / "out" / "objects"
        (self.objects / RECIPE).mkdir(parents=True, exist_ok=True)
        self._opened = ExitStack()
        self.layout = self.open()

    def open(self) -> Mirror:
        record = self._opened.enter_context(Record.open(self.folder / "out" / "layout.db"))
        return Mirror(self.annotated, self.objects, record, Roots(self.inputs))

    def close(self) -> None:
        self._opened.close()

    def found(self, path: bytes, version: str = "1", recipe: str = RECIPE) -> Member:
        """A picture whose object holds its own path as content."""
        uri = file_uri(path)
        image = reference_id(uri, version)
        key = PictureKeys(recipe, image).annotated
        (self.objects / recipe).mkdir(exist_ok=True)
        (self.objects / key).write_bytes(path + version.encode())
        return Member(0, image, uri, Status.FACES, f"file:///objects/{key}", recipe)

    def names(self) -> set[str]:
        return {
            str(path.relative_to(self.annotated))
            for path in self.annotated.rglob("*")
            if path.is_file()
        }


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    tree = Tree(tmp_path)
    yield tree
    tree.close()


def inside(tree: Tree, name: bytes, root: int = 0) -> bytes:
    return os.fsencode(tree.inputs[root]) + b"/" + name


def test_jpeg_names_are_kept_and_others_get_jpg_appended(tree: Tree) -> None:
    for name in (b"a.jpg", b"sub dir/B.JPEG", b"c.png", b"sub dir/d"):
        tree.layout.place([tree.found(inside(tree, name))])
    assert tree.names() == {"a.jpg", "sub dir/B.JPEG", "c.png.jpg", "sub dir/d.jpg"}


def test_a_result_is_the_same_file_as_its_object(tree: Tree) -> None:
    picture = tree.found(inside(tree, b"a.jpg"))
    tree.layout.place([picture])
    key = PictureKeys(RECIPE, picture.id).annotated
    assert (tree.annotated / "a.jpg").samefile(tree.objects / key)


def test_where_hard_links_are_refused_a_result_is_a_copy(
    tree: Tree, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError("no links here")

    monkeypatch.setattr(os, "link", refuse)
    path = inside(tree, b"a.jpg")
    picture = tree.found(path)
    assert tree.layout.place([picture]) == 1
    assert tree.layout.place([picture]) == 0
    assert (tree.annotated / "a.jpg").read_bytes() == path + b"1"
    (tree.annotated / "b.jpg").write_text("a stranger's")
    tree.layout.place([tree.found(path, "2"), tree.found(inside(tree, b"b.jpg"))])
    assert (tree.annotated / "a.jpg").read_bytes() == path + b"2"
    assert (tree.annotated / "b.jpg").read_text() == "a stranger's"
    assert len(tree.names()) == 3, "and nothing unfinished is left"


def test_two_pictures_that_want_one_name_get_two(tree: Tree) -> None:
    png, jpeg = tree.found(inside(tree, b"a.png")), tree.found(inside(tree, b"a.png.jpg"))
    tree.layout.place([png, jpeg])
    assert tree.names() == {"a.png.jpg", f"a.png-{jpeg.id[:8]}.jpg"}
    assert (tree.annotated / "a.png.jpg").read_bytes().startswith(inside(tree, b"a.png"))


def test_a_folder_and_a_file_that_want_one_name_both_get_a_place(tree: Tree) -> None:
    tree.layout.place(
        [tree.found(inside(tree, b"x.jpg")), tree.found(inside(tree, b"x.jpg/y.jpg"))]
    )
    assert "x.jpg" in tree.names()
    assert len(tree.names()) == 2


def test_placing_again_changes_nothing_also_after_a_restart(tree: Tree) -> None:
    pictures = [tree.found(inside(tree, name)) for name in (b"a.jpg", b"b\n.png", b"c/d.gif")]
    assert tree.layout.place(pictures) == 3
    before = tree.names()
    assert tree.layout.place(pictures) == 0
    assert tree.open().place(pictures) == 0
    assert tree.names() == before


def test_a_lost_record_does_not_double_what_is_there(tree: Tree) -> None:
    picture = tree.found(inside(tree, b"a.jpg"))
    tree.layout.place([picture])
    (tree.folder / "out" / "layout.db").unlink()
    tree.open().place([picture])
    assert tree.names() == {"a.jpg"}


def test_the_record_of_the_last_version_goes_on(tree: Tree) -> None:
    picture, other = (tree.found(inside(tree, name)) for name in (b"a.jpg", b"b.jpg"))
    file = tree.folder / "out" / "of-before.db"
    with closing(sqlite3.connect(file)) as old:
        old.execute(
            "CREATE TABLE places(source TEXT PRIMARY KEY, target TEXT UNIQUE NOT NULL, "
            "object TEXT NOT NULL) WITHOUT ROWID"
        )
        old.execute("CREATE TABLE roots(path BLOB PRIMARY KEY, folder BLOB NOT NULL) WITHOUT ROWID")
        key = PictureKeys(RECIPE, picture.id).annotated
        old.execute("INSERT INTO places VALUES (?, 'renamed.jpg', ?)", (picture.source_uri, key))
        old.commit()
    with Record.open(file) as record:
        mirror = Mirror(tree.annotated, tree.objects, record, Roots(tree.inputs))
        assert mirror.place([picture, other]) == 2
        assert record.sidecar_suffixes() == set()
    assert tree.names() == {"renamed.jpg", "b.jpg"}, "it keeps the name that the record has"


def test_a_newer_result_replaces_the_older_under_its_name(tree: Tree) -> None:
    path = inside(tree, b"a.jpg")
    tree.layout.place([tree.found(path, "1")])
    tree.layout.place([tree.found(path, "2")])
    tree.layout.place([tree.found(path, "2", recipe="haar-9876543210")])
    assert tree.names() == {"a.jpg"}
    assert (tree.annotated / "a.jpg").read_bytes().endswith(b"2")


def test_a_picture_without_a_face_any_more_loses_its_old_result(tree: Tree) -> None:
    picture = tree.found(inside(tree, b"a.jpg"))
    tree.layout.place([picture])
    nothing = replace(picture, status=Status.NO_FACES, annotated_uri=None)
    tree.layout.place([nothing])
    assert tree.names() == set()


def test_several_folders_each_keep_their_own_name(tmp_path: Path) -> None:
    tree = Tree(tmp_path, "one/photos", "two/photos", "three")
    tree.layout.place([tree.found(inside(tree, b"a.jpg", root)) for root in range(3)])
    names = sorted(tree.names())
    assert len(names) == 3 and {"photos/a.jpg", "three/a.jpg"} < set(names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"photos", "three"}


def test_a_file_named_outright_lies_at_the_top(tmp_path: Path) -> None:
    picture = tmp_path / "deep" / "er" / "me.jpg"
    picture.parent.mkdir(parents=True)
    picture.touch()
    assert Roots([picture]).relative(file_uri(os.fsencode(picture))) == b"me.jpg"


def test_a_strangers_file_is_not_overwritten(tree: Tree) -> None:
    tree.annotated.mkdir(parents=True)
    (tree.annotated / "a.jpg").write_text("mine")
    tree.layout.place([tree.found(inside(tree, b"a.jpg"))])
    assert (tree.annotated / "a.jpg").read_text() == "mine"
    assert len(tree.names()) == 2


@pytest.mark.parametrize(
    "name",
    [b"../../etc/passwd", b"/etc/passwd", b"a\nb.jpg", b"\xff\xfe.jpg", b"..", b"", b"x" * 255],
)
def test_awkward_names_become_safe_ones(name: bytes) -> None:
    path = result_path(name, "0123456789abcdef")
    assert not path.is_absolute() and ".." not in path.parts
    assert path.name.isprintable() and path.suffix == ".jpg"


@pytest.mark.parametrize(
    ("name", "suffix", "result"),
    [
        (b"a.png", "png", "a.png"),
        (b"a.png", "jpg", "a.png.jpg"),
        (b"a.GIF", "png", "a.GIF.png"),
        (b"a.TIFF", "tif", "a.TIFF"),
        (b"a.webp", "webp", "a.webp"),
        (b"a.avif", "png", "a.avif.png"),
    ],
)
def test_a_name_that_fits_its_format_is_kept(name: bytes, suffix: str, result: str) -> None:
    assert str(result_path(name, "0123456789abcdef", suffix)) == result


@given(st.binary(max_size=600), st.binary(min_size=16, max_size=16))
def test_any_name_gives_a_path_below_the_results(name: bytes, identity: bytes) -> None:
    path = result_path(name, identity.hex())
    assert not path.is_absolute()
    for part in path.parts:
        assert part not in ("..", ".", "")
        assert len(part.encode()) <= 255
        assert "\x00" not in part and "\n" not in part
