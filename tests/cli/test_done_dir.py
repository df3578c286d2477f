"""`--done-dir` moves what this run was given, and nothing that a row or a link names beside it."""

import errno
import os
import shutil
from pathlib import Path

import pytest

from services.cli.outdir.done import DoneDir
from services.cli.outdir.roots import Roots
from shared.identity import file_version, reference_id
from shared.urls import file_uri


class Moving:
    """A folder `in` that a run was given, a picture beside it, and a folder for what is done."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.put("in/sub/a.jpg")
        self.put("victim.jpg")
        self.done = DoneDir(folder / "done", Roots([folder / "in"]))

    def put(self, name: str, content: str = "") -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content or name)
        return path

    def move(self, name: str) -> bool:
        """Move what a row names so, as it is now."""
        path = os.fsencode(self.folder) + b"/" + os.fsencode(name)
        uri = file_uri(path)
        try:
            status = os.stat(path)
        except OSError:
            return self.done.move(uri, "0" * 32)
        return self.done.move(
            uri, reference_id(uri, file_version(status.st_size, status.st_mtime_ns))
        )

    def files(self) -> dict[str, str]:
        """Every file, by its path."""
        found = (path for path in self.folder.rglob("*") if path.is_file())
        return {str(path.relative_to(self.folder)): path.read_text() for path in found}


@pytest.fixture
def moving(tmp_path: Path) -> Moving:
    return Moving(tmp_path)


def test_what_was_given_is_moved_under_its_relative_path(moving: Moving) -> None:
    assert moving.move("in/sub/a.jpg")
    assert moving.files() == {"done/sub/a.jpg": "in/sub/a.jpg", "victim.jpg": "victim.jpg"}
    assert not moving.move("in/sub/a.jpg"), "it is gone, and that is nothing to tell"
    assert moving.done.not_moved == []


@pytest.mark.parametrize(
    "name",
    [
        "victim.jpg",
        "in/../victim.jpg",
        "in/./sub/a.jpg",
        "in//sub/a.jpg",
        "in/sub/../../victim.jpg",
    ],
)
def test_what_was_not_given_stays_however_it_is_named(moving: Moving, name: str) -> None:
    before = moving.files()
    assert not moving.move(name)
    assert moving.files() == before
    (line,) = moving.done.not_moved
    assert line.startswith("1 original not moved") and "do not lie below" in line


@pytest.mark.parametrize("uri", ["s3://bucket/in/a.jpg", "file://in/a.jpg", "/in/a.jpg", ""])
def test_what_is_no_file_is_not_looked_for(moving: Moving, uri: str) -> None:
    assert not moving.done.move(uri, "0" * 32)
    assert "do not lie below" in moving.done.not_moved[0]


def test_what_a_link_leads_to_stays_and_so_does_the_link(moving: Moving) -> None:
    (moving.folder / "in" / "link.jpg").symlink_to(moving.folder / "victim.jpg")
    moving.put("elsewhere/b.jpg")
    (moving.folder / "in" / "album").symlink_to(moving.folder / "elsewhere")
    for name in ("in/link.jpg", "in/album/b.jpg"):
        assert not moving.move(name)
    (line,) = moving.done.not_moved
    assert line.startswith("2 originals not moved") and "a link leads to them" in line
    assert "in/link.jpg" in line
    assert moving.files()["elsewhere/b.jpg"] == "elsewhere/b.jpg"
    assert (moving.folder / "in" / "link.jpg").is_symlink()


def test_a_root_exchanged_for_a_link_gives_nothing_away(moving: Moving) -> None:
    moving.put("private/sub/a.jpg")
    (moving.folder / "in").rename(moving.folder / "aside")
    (moving.folder / "in").symlink_to(moving.folder / "private")
    assert not moving.move("in/sub/a.jpg")
    assert "private/sub/a.jpg" in moving.files()


def test_a_link_below_the_folder_of_what_is_done_leads_nothing_out(moving: Moving) -> None:
    moving.put("elsewhere/keep")
    (moving.folder / "done").mkdir()
    (moving.folder / "done" / "sub").symlink_to(moving.folder / "elsewhere")
    assert not moving.move("in/sub/a.jpg")
    assert "their place is taken" in moving.done.not_moved[0]
    assert "elsewhere/a.jpg" not in moving.files()
    assert "in/sub/a.jpg" in moving.files()


def test_nothing_is_overwritten_not_even_by_a_link_that_leads_nowhere(moving: Moving) -> None:
    (moving.folder / "done" / "sub").mkdir(parents=True)
    (moving.folder / "done" / "sub" / "a.jpg").symlink_to(moving.folder / "planted")
    assert moving.move("in/sub/a.jpg")
    moving.put("in/sub/a.jpg", "another")
    assert moving.move("in/sub/a.jpg")
    assert not (moving.folder / "planted").exists()
    moved = [name for name in moving.files() if name.startswith("done/")]
    assert len(moved) == 2


def test_a_move_that_was_ended_half_way_is_finished(moving: Moving) -> None:
    (moving.folder / "done" / "sub").mkdir(parents=True)
    os.link(moving.folder / "in" / "sub" / "a.jpg", moving.folder / "done" / "sub" / "a.jpg")
    assert moving.move("in/sub/a.jpg")
    assert moving.files() == {"done/sub/a.jpg": "in/sub/a.jpg", "victim.jpg": "victim.jpg"}


def test_an_original_is_not_moved_onto_itself(moving: Moving) -> None:
    moving.done = DoneDir(moving.folder / "in", Roots([moving.folder / "in"]))
    moving.move("in/sub/a.jpg")
    assert "in/sub/a.jpg" in moving.files().values()


def test_what_changed_since_it_was_searched_stays(moving: Moving) -> None:
    uri = file_uri(os.fsencode(moving.folder / "in" / "sub" / "a.jpg"))
    assert not moving.done.move(uri, reference_id(uri, "1-1"))
    assert "they changed since they were searched" in moving.done.not_moved[0]


def test_to_another_volume_it_is_copied_with_its_times_and_rights(
    moving: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    source = moving.folder / "in" / "sub" / "a.jpg"
    source.chmod(0o640)
    os.utime(source, ns=(10**18, 10**18))

    def other_volume(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    monkeypatch.setattr(os, "link", other_volume)
    assert moving.move("in/sub/a.jpg")
    status = (moving.folder / "done" / "sub" / "a.jpg").stat()
    assert (status.st_mtime_ns, status.st_mode & 0o777) == (10**18, 0o640)
    assert not source.exists()


def test_a_volume_that_is_full_leaves_the_original_and_nothing_else(
    moving: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    def other_volume(*_: object, **__: object) -> None:
        raise OSError(errno.EXDEV, "Invalid cross-device link")

    def full(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "link", other_volume)
    monkeypatch.setattr(shutil, "copyfileobj", full)
    before = moving.files()
    with pytest.raises(OSError, match="No space left"):
        moving.move("in/sub/a.jpg")
    assert moving.files() == before


def test_a_file_given_alone_is_moved_and_its_neighbour_is_not(tmp_path: Path) -> None:
    moving = Moving(tmp_path)
    moving.put("in/sub/b.jpg")
    moving.done = DoneDir(tmp_path / "done", Roots([tmp_path / "in" / "sub" / "a.jpg"]))
    assert moving.move("in/sub/a.jpg")
    assert not moving.move("in/sub/b.jpg")
    assert "done/a.jpg" in moving.files()


def test_a_folder_given_as_two_dots_is_named_as_it_is(
    moving: Moving, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = moving.put("other/b.jpg").parent
    monkeypatch.chdir(moving.folder / "in" / "sub")
    moving.done = DoneDir(moving.folder / "done", Roots([Path(".."), other]))
    assert moving.move("in/sub/a.jpg")
    assert "done/in/sub/a.jpg" in moving.files()


def test_a_recorded_folder_that_climbs_leads_nothing_out(moving: Moving) -> None:
    roots = Roots([])
    roots.recall([(os.fsencode(moving.folder / "in"), b"..")])
    moving.done = DoneDir(moving.folder / "done", roots)
    before = moving.files()
    assert not moving.move("in/sub/a.jpg")
    assert moving.files() == before
    assert "their place is taken" in moving.done.not_moved[0]
