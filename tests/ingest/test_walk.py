"""A folder is walked in a fixed order, and a walk can stop anywhere and go on elsewhere."""

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.ingest.sources.walk import Visited, Walk, is_input
from shared.folders.patterns import Choice
from shared.reasons import Failure, Reason

NAMES = st.sampled_from([b"a", b"b", b"a-b", b"a.b", b"z", b"\xff", b"with space", b"A"])


def touch(root: Path, *paths: bytes) -> None:
    for path in paths:
        full = os.path.join(os.fsencode(root), path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full, "wb"):
            pass


def whole(root: Path, excluded: frozenset[bytes] = frozenset()) -> list[bytes]:
    walk = Walk(os.fsencode(root), excluded=excluded)
    return [visit.path for visit in walk.take(10_000)]


@given(
    tree=st.sets(st.tuples(st.lists(NAMES, max_size=3).map(tuple), NAMES), max_size=12),
    cut=st.integers(1, 12),
)
@settings(max_examples=60, deadline=None)
def test_a_walk_cut_anywhere_goes_on_where_it_stopped(
    tree: set[tuple[tuple[bytes, ...], bytes]], cut: int
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        paths = {
            b"/".join([*(f + b".d" for f in folders), name + b".jpg"]) for folders, name in tree
        }
        touch(root, *paths)
        walked = whole(root)
        assert sorted(walked) == sorted(paths)
        first = Walk(os.fsencode(root))
        head = [visit.path for visit in first.take(cut)]
        same = [visit.path for visit in first.take(10_000)]
        anew = [visit.path for visit in Walk(os.fsencode(root), position_after(head)).take(10_000)]
        assert head + same == walked
        assert head + anew == walked


def position_after(head: list[bytes]) -> bytes:
    return head[-1] if head else b""


def test_a_walk_goes_on_where_the_file_that_it_stopped_at_is_gone(tmp_path: Path) -> None:
    touch(tmp_path, b"a/1.jpg", b"a/2.jpg", b"b/1.jpg", b"c.jpg")
    assert [v.path for v in Walk(os.fsencode(tmp_path), b"a/1x.jpg").take(9)] == [
        b"a/2.jpg", b"b/1.jpg", b"c.jpg",
    ]  # fmt: skip
    assert [v.path for v in Walk(os.fsencode(tmp_path), b"aa/gone.jpg").take(9)] == [
        b"b/1.jpg", b"c.jpg",
    ]  # fmt: skip


def test_only_pictures_are_taken_and_hidden_things_are_passed_over(tmp_path: Path) -> None:
    touch(
        tmp_path, b"a.JPG", b"b.txt", b"c.png", b".hidden.jpg", b".git/x.jpg", b"._c.png", b"noext"
    )
    assert whole(tmp_path) == [b"a.JPG", b"c.png"]
    assert is_input(b"a.webp")
    assert not is_input(b".jpg")


def test_links_to_folders_are_not_followed_and_excluded_folders_not_entered(tmp_path: Path) -> None:
    touch(tmp_path, b"in/a.jpg", b"out/annotated/a.jpg")
    (tmp_path / "loop").symlink_to(tmp_path)
    assert whole(tmp_path, excluded=frozenset({b"out"})) == [b"in/a.jpg"]


def test_a_folder_that_cannot_be_listed_is_named_and_the_rest_is_walked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, b"a/1.jpg", b"locked/2.jpg", b"z/3.jpg")
    really = os.open

    def refuse(path: bytes, flags: int, *, dir_fd: int | None = None) -> int:
        if path == b"locked":
            raise PermissionError(13, "Permission denied")
        return really(path, flags, dir_fd=dir_fd)

    monkeypatch.setattr(os, "open", refuse)
    walk = Walk(os.fsencode(tmp_path))
    assert walk.take(2) == [
        Visited(b"a/1.jpg"),
        Visited(b"locked/", Failure(Reason.UNREADABLE, "folder cannot be read: Permission denied")),
    ]
    assert Walk(os.fsencode(tmp_path), walk.position).take(9) == [Visited(b"z/3.jpg")]


def test_a_root_that_cannot_be_listed_is_one_problem(tmp_path: Path) -> None:
    assert Walk(os.fsencode(tmp_path / "gone")).take(9) == [
        Visited(b"./", Failure(Reason.GONE, "folder cannot be read: No such file or directory"))
    ]


def test_thumbnails_recycle_bins_and_other_outputs_are_passed_over_and_counted(
    tmp_path: Path,
) -> None:
    touch(tmp_path, b"a.jpg", b"@eaDir/a.jpg", b"x/@eaDir/b.jpg", b"#recycle/c.jpg")
    touch(tmp_path, b"out/.faces/x", b"out/annotated/d.jpg", b".hidden/e.jpg")
    walk = Walk(os.fsencode(tmp_path))
    assert [visit.path for visit in walk.take(99)] == [b"a.jpg"]
    assert walk.passed_over == {"thumbnails": 2, "recycle_bin": 1, "output": 1, "hidden": 1}
    assert walk.examples["output"] == "out/"


def test_what_is_passed_over_by_rule_is_searched_where_it_is_included_by_name(
    tmp_path: Path,
) -> None:
    touch(tmp_path, b"a.jpg", b"@eaDir/a.jpg", b"out/.faces/x", b"out/annotated/d.jpg")
    walk = Walk(os.fsencode(tmp_path), choice=Choice(include=["@eaDir/", "out/"]))
    assert [visit.path for visit in walk.take(99)] == [b"@eaDir/a.jpg", b"out/annotated/d.jpg"]
    assert walk.passed_over == {"excluded": 1}


def test_an_excluded_folder_is_never_entered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    touch(tmp_path, b"a.jpg", b"b.png", b"raw/c.jpg")
    listed: list[bytes] = []
    real = Walk._list

    def told(walk: Walk, at: bytes) -> list[bytes]:
        listed.append(at)
        return real(walk, at)

    monkeypatch.setattr(Walk, "_list", told)
    walk = Walk(os.fsencode(tmp_path), choice=Choice(["raw/", "*.png"]))
    assert [visit.path for visit in walk.take(99)] == [b"a.jpg"]
    assert listed == [b""]
    assert walk.passed_over == {"excluded": 2}


@pytest.mark.parametrize("cut", range(1, 5))
def test_what_is_passed_over_is_counted_once_wherever_the_walk_goes_on_elsewhere(
    tmp_path: Path, cut: int
) -> None:
    touch(tmp_path, b"@eaDir/0.jpg", b"a.jpg", b"b/1.jpg", b"b/2.png", b"b/3.jpg", b"c/.faces/x")
    touch(tmp_path, b"d.jpg", b"lost+found/4.jpg")
    choice = Choice(["*.png"])
    before = Walk(os.fsencode(tmp_path), choice=choice)
    before.take(cut)
    after = Walk(os.fsencode(tmp_path), before.position, choice=choice)
    after.take(99)
    counted = before.passed_over + after.passed_over
    assert counted == {"thumbnails": 1, "excluded": 1, "output": 1, "system": 1}
