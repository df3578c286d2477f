"""OUT where others may write too: what they plant there leads nothing out, and is not believed."""

import json
import os
import shutil
import stat
import threading
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest
import redis

from bench.samples import samples
from services.cli.local.embedded import EmbeddedValkey, end_leftover, running_url
from services.cli.outdir.lock import hold
from services.cli.outdir.private import PRIVATE, make_objects
from shared.errors import FacesError
from tests.cli.test_layout import Tree
from tests.support.command_here import Here, here
from tests.support.faces_command import Faces

__all__ = ["here"]

FACE = dict(samples())["portrait/as it is.jpg"]

as_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to others")
ANOTHER = 65533


@pytest.fixture
def tree(tmp_path: Path) -> Iterator[Tree]:
    """A folder of pictures and its OUT."""
    tree = Tree(tmp_path)
    yield tree
    tree.close()


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder that has nothing to do with OUT, with a file in it."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "file").write_text("precious")
    return folder


@pytest.fixture
def open_umask() -> Iterator[None]:
    """As where people share all they make."""
    before = os.umask(0)
    yield
    os.umask(before)


def untouched(elsewhere: Path) -> bool:
    return {path.name: path.read_bytes() for path in elsewhere.iterdir()} == {"file": b"precious"}


def modes(folder: Path) -> dict[str, int]:
    return {
        str(path.relative_to(folder)): stat.S_IMODE(path.lstat().st_mode)
        for path in folder.rglob("*")
    }


def said_by_hold(out: Path) -> list[str]:
    said: list[str] = []
    with hold(out, said.append):
        return said


@pytest.mark.usefixtures("open_umask")
def test_a_run_writes_nothing_behind_a_planted_link_and_its_own_is_its_own(
    tmp_path: Path, elsewhere: Path
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    for name in ("me.jpg", "trip/you.jpg"):
        (photos / name).parent.mkdir(exist_ok=True, parents=True)
        (photos / name).write_bytes(FACE + name.encode())
    (out / "annotated").mkdir(parents=True)
    (out / "annotated" / "trip").symlink_to(elsewhere)
    (out / "annotated" / "me.jpg").symlink_to(elsewhere / "file")
    faces = Faces(tmp_path, FACES_MODEL="haar")
    done = faces("run", photos, "-o", out, "--sidecar", "xmp")
    assert done.returncode == 0, done.stderr
    assert untouched(elsewhere)
    assert f"{out}/annotated/trip is a symbolic link, which is not followed" in done.stderr
    placed = {path for path in (out / "annotated").glob("*.jpg") if not path.is_symlink()}
    assert sorted(path.name.split("-")[0] for path in placed) == ["me", "you"]
    for name, mode in modes(out / PRIVATE).items():
        assert not mode & 0o077, name
    assert [stat.S_IMODE((out / name).stat().st_mode) for name in (PRIVATE, "objects")] == [
        0o700,
        0o700,
    ]
    assert stat.S_IMODE((out / "faces.db").stat().st_mode) == 0o600
    assert {stat.S_IMODE(path.stat().st_mode) for path in placed} == {0o666}, "people share them"


def test_a_folder_that_becomes_a_link_between_two_results_takes_no_more(
    tree: Tree, elsewhere: Path
) -> None:
    sub = os.fsencode(tree.inputs[0]) + b"/sub/"
    tree.layout.place([tree.found(sub + b"a.jpg", "1")])
    shutil.rmtree(tree.annotated / "sub")
    (tree.annotated / "sub").symlink_to(elsewhere)
    (elsewhere / "a.jpg").write_text("theirs")
    tree.layout.place([tree.found(sub + b"a.jpg", "2"), tree.found(sub + b"b.jpg")])
    assert (elsewhere / "a.jpg").read_text() == "theirs"
    (elsewhere / "a.jpg").unlink()
    assert untouched(elsewhere)
    assert tree.layout.links == {tree.annotated / "sub"}
    assert len([path for path in tree.annotated.glob("*.jpg") if path.is_file()]) == 2
    gone = tree.found(sub + b"b.jpg")
    tree.layout.place([replace(gone, annotated_uri=None)])
    assert untouched(elsewhere)


def test_a_folder_that_is_exchanged_with_a_link_again_and_again_takes_nothing_out(
    tree: Tree, elsewhere: Path
) -> None:
    tree.annotated.mkdir()
    sub = tree.annotated / "sub"
    stop, links = threading.Event(), 0

    def exchange() -> None:
        nonlocal links
        for turn in count():
            if stop.is_set():
                return
            with suppress(OSError):
                sub.rename(tree.annotated / f"aside{turn}")
            with suppress(OSError):  # the tree made it first
                sub.symlink_to(elsewhere)
                links += 1
                sub.unlink()

    exchanging = threading.Thread(target=exchange)
    exchanging.start()
    try:
        root = os.fsencode(tree.inputs[0])
        number = 0
        while number < 200 or links < 200:
            tree.layout.place([tree.found(root + b"/sub/%d.jpg" % number)])
            number += 1
    finally:
        stop.set()
        exchanging.join()
    assert untouched(elsewhere)
    assert len([path for path in tree.annotated.rglob("*.jpg") if path.is_file()]) == number


def test_an_object_that_is_a_link_is_not_put_among_the_results(tree: Tree, elsewhere: Path) -> None:
    picture = tree.found(os.fsencode(tree.inputs[0]) + b"/a.jpg")
    (drawn,) = tree.objects.rglob("*.jpg")
    drawn.unlink()
    drawn.symlink_to(elsewhere / "file")
    assert tree.layout.place([picture]) == 0
    assert tree.names() == set()


@pytest.mark.parametrize("name", [PRIVATE, "annotated", "objects", "faces.db", "faces.db-wal"])
def test_a_link_in_the_place_of_our_own_is_refused_by_name(
    tmp_path: Path, elsewhere: Path, name: str
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    (out / name).symlink_to(elsewhere)
    with pytest.raises(FacesError, match=f"{out / name} is a symbolic link"), hold(out, print):
        pass
    assert untouched(elsewhere)


def test_out_itself_may_be_a_link(tmp_path: Path, elsewhere: Path) -> None:
    (tmp_path / "out").symlink_to(elsewhere)
    with hold(tmp_path / "out", print):
        make_objects(tmp_path / "out")
    assert {"file", PRIVATE, "objects"} == {path.name for path in elsewhere.iterdir()}


def test_a_recipes_folder_that_is_a_link_is_refused_by_name(
    tmp_path: Path, elsewhere: Path
) -> None:
    out = tmp_path / "out"
    (out / "objects").mkdir(parents=True)
    (out / "objects" / "recipe").symlink_to(elsewhere)
    with pytest.raises(FacesError, match="objects/recipe is a symbolic link"):
        make_objects(out)


@as_root
@pytest.mark.parametrize("name", [PRIVATE, f"{PRIVATE}/layout.db", "faces.db"])
def test_what_belongs_to_another_user_is_not_taken_for_ours(tmp_path: Path, name: str) -> None:
    out = tmp_path / "out"
    (out / PRIVATE).mkdir(parents=True, mode=0o700)
    (out / PRIVATE / "layout.db").touch()
    (out / "faces.db").touch()
    os.chown(out / name, ANOTHER, -1)
    with (
        pytest.raises(FacesError, match=f"{out / name} belongs to user {ANOTHER}"),
        hold(out, print),
    ):
        pass


@as_root
def test_what_another_users_run_left_is_not_read_by_us_and_the_line_says_whose_it_is(
    here: Here,
) -> None:
    here.queue([])
    for name in (PRIVATE, "faces.db"):
        os.chown(here.out / name, ANOTHER, -1)
    for command in (("results",), ("stats",), ("dead", "list"), ("results", "--sidecar", "xmp")):
        answer = here.on(*command)
        assert answer.status == 2
        assert f"belongs to user {ANOTHER}: an output folder has one user" in answer.err


def test_a_pipe_that_came_along_in_a_copied_folder_is_refused_by_name(tmp_path: Path) -> None:
    private = tmp_path / "out" / PRIVATE
    private.mkdir(mode=0o700, parents=True)
    os.mkfifo(private / "valkey.log", 0o600)
    with pytest.raises(FacesError, match=r"valkey\.log is a pipe or a device: remove it"):
        said_by_hold(tmp_path / "out")


def test_a_second_name_of_a_file_of_ours_is_found_where_others_could_write(
    tmp_path: Path,
) -> None:
    private = tmp_path / "out" / PRIVATE
    private.mkdir(parents=True)
    private.chmod(0o777)
    (tmp_path / "ours.db").touch()
    (private / "layout.db").hardlink_to(tmp_path / "ours.db")
    with pytest.raises(FacesError, match="has another name elsewhere"):
        said_by_hold(tmp_path / "out")


@pytest.mark.usefixtures("open_umask")
def test_what_earlier_versions_left_readable_becomes_ours_alone_and_that_is_said_once(
    tmp_path: Path,
) -> None:
    out = tmp_path / "out"
    (out / PRIVATE / "appendonlydir").mkdir(parents=True)
    (out / "objects").mkdir()
    for name in (f"{PRIVATE}/layout.db", f"{PRIVATE}/appendonlydir/1.aof", "faces.db"):
        (out / name).touch()
    assert len(said_by_hold(out)) == 2
    found = modes(out)
    assert found.pop("objects") == 0o700
    for name, mode in found.items():
        assert not mode & 0o077, name
    assert said_by_hold(out) == []


@pytest.mark.usefixtures("open_umask")
def test_on_a_disk_without_modes_it_works_and_says_so_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make = os.mkdir

    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    def make_open(path: str, mode: int = 0o777, *, dir_fd: int | None = None) -> None:
        make(path, 0o755, dir_fd=dir_fd)

    monkeypatch.setattr(os, "mkdir", make_open)
    for change in ("chmod", "fchmod"):
        monkeypatch.setattr(os, change, refuse)
    (said,) = said_by_hold(tmp_path / "out")
    assert "this disk keeps no modes" in said
    assert said_by_hold(tmp_path / "out") == []


def planted(private: Path, **changed: object) -> None:
    note = json.loads((private / "valkey.json").read_bytes())
    (private / "valkey.json").write_text(json.dumps(note | changed))


async def test_a_note_that_leads_to_another_server_is_neither_followed_nor_obeyed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    other = EmbeddedValkey(tmp_path / "other" / PRIVATE)
    other.start()
    try:
        with redis.Redis.from_url(await other.ready()) as client:
            private = tmp_path / "out" / PRIVATE
            private.mkdir(parents=True, mode=0o700)
            identity = [private.stat().st_dev, private.stat().st_ino]
            said: list[str] = []
            shutil.copy(other.folder / "valkey.json", private)  # as `cp -a OUT` does, too
            for change in ({}, {"folder": identity, "url": "redis://127.0.0.1:6379/0"}):
                planted(private, **change)
                assert running_url(private.parent) is None
                assert "is ignored, since it is not this folder's own" in capsys.readouterr().err
                end_leftover(private, said.append)
            assert len(said) == 2
            # One who forges all but the password: the server takes another.
            planted(private, folder=identity, url=f"unix://:x@{other.folder}/valkey.sock")
            end_leftover(private, said.append)
            assert client.ping()
    finally:
        other.stop()


async def test_a_note_of_a_process_that_has_ended_or_began_at_another_time_is_none(
    tmp_path: Path,
) -> None:
    valkey = EmbeddedValkey(tmp_path / PRIVATE)
    valkey.start()
    try:
        await valkey.ready()
        assert running_url(tmp_path) == valkey.url
        planted(valkey.folder, started=1)
        assert running_url(tmp_path) is None
    finally:
        valkey.stop()


def test_a_note_that_an_earlier_version_left_is_passed_over_without_a_word(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / PRIVATE).mkdir(mode=0o700)
    (tmp_path / PRIVATE / "valkey.json").write_text('{"url": "unix:///x.sock", "pid": 1}')
    assert running_url(tmp_path) is None
    assert capsys.readouterr().err == ""


@as_root
async def test_a_note_of_another_user_is_ignored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    valkey = EmbeddedValkey(tmp_path / PRIVATE)
    valkey.start()
    try:
        await valkey.ready()
        os.chown(valkey.folder / "valkey.json", ANOTHER, -1)
        assert running_url(tmp_path) is None
        assert "it belongs to another user" in capsys.readouterr().err
    finally:
        valkey.stop()
