"""`faces run` as people use it: a folder in, results out; again, interrupted, killed, refused.

With the Haar model, which needs no download: what is found is not the point here.
"""

import json
import os
import re
import shutil
import signal
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.samples import samples
from services.cli.outdir.lock import hold
from tests.support.faces_command import Faces
from tests.support.waiting import wait_until

LAST_LINE = re.compile(
    r"[\d,]+ images  [\d,]+ with faces  [\d,]+ faces  [\d,]+ failed  [\d,.]+ img/s"
)
JSON_KEYS = {
    "images",
    "faces_images",
    "no_faces",
    "failed",
    "faces",
    "seconds",
    "images_per_second",
    "skipped",
    "searched_again",
    "not_placed",
    "renamed",
    "changed_by_others",
    "uncovered",
    "still_showing",
    "drawn_before_mend",
    "cut",
    "links_refused",
    "excluded",
    "passed_over",
    "not_read",
    "not_copied",
}

SAMPLES = dict(samples())
FACE = SAMPLES["portrait/as it is.jpg"]
NO_FACE = SAMPLES["no face/moon.jpg"]
BROKEN = SAMPLES["broken/half a file.jpg"]
BROKEN = BROKEN[: BROKEN.index(b"\xff\xda")]  # nothing of its pixels

MANY = 90
"""Enough pictures for a few seconds of work."""


@pytest.fixture
def faces(tmp_path: Path) -> Iterator[Faces]:
    """The command, in an empty folder."""
    command = Faces(tmp_path, FACES_MODEL="haar")
    yield command
    command.end_all()


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """A folder with a face, a picture without one, and a file that is no picture."""
    folder = tmp_path / "photos"
    put(folder / "me.jpg", FACE)
    put(folder / "trip" / "moon.png", NO_FACE)
    put(folder / "trip" / "half.jpg", BROKEN)
    put(folder / "notes.txt", b"no picture by its name")
    return folder


def put(path: Path, content: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)


def many(folder: Path, count: int) -> Path:
    """As many different pictures."""
    for number in range(count):
        put(folder / f"{number:03}.jpg", FACE)
    return folder


def rows(out: Path) -> list[tuple[str, str, str]]:
    """Name, status and consumer of every image; nothing where there is no catalog yet."""
    if not (out / "faces.db").exists():
        return []
    connection = sqlite3.connect(f"file:{out / 'faces.db'}?mode=ro", uri=True)
    try:
        return connection.execute("SELECT name, status, consumer FROM images").fetchall()
    except sqlite3.OperationalError:
        return []  # not made yet
    finally:
        connection.close()


def ended(out: Path) -> int:
    return sum(status != "queued" for _, status, _ in rows(out))


def annotated(out: Path) -> set[str]:
    folder = out / "annotated"
    return {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}


def test_a_folder_of_pictures_becomes_rows_and_annotated_pictures(
    faces: Faces, photos: Path, tmp_path: Path
) -> None:
    done = faces("run", photos, "-o", "out")
    assert done.returncode == 3, done.stderr  # finished, and one of them failed
    *before, last = done.stdout.splitlines()
    assert LAST_LINE.fullmatch(last)
    assert last.startswith("3 images  1 with faces  1 faces  1 failed  ")
    assert "faces results -o out --status failed" in before[-1]
    found = {name: status for name, status, _ in rows(tmp_path / "out")}
    assert found == {"me.jpg": "faces", "trip/moon.png": "no_faces", "trip/half.jpg": "failed"}
    assert annotated(tmp_path / "out") == {"me.jpg"}
    assert (photos / "me.jpg").read_bytes() == FACE
    (journal,) = (tmp_path / "out" / ".faces" / "appendonlydir").glob("*.incr.aof")
    assert b"{faces}:results" in journal.read_bytes()  # on a server of its own, and no other


def test_running_again_does_only_what_is_new(faces: Faces, photos: Path, tmp_path: Path) -> None:
    assert faces("run", photos, "-o", "out").returncode == 3
    first = set(rows(tmp_path / "out"))
    put(photos / "new.jpg", FACE)
    again = faces("run", photos, "-o", "out")
    assert "3 were finished by an earlier run and not searched again" in again.stdout
    assert first < set(rows(tmp_path / "out"))  # the same rows, by the same consumer
    assert annotated(tmp_path / "out") == {"me.jpg", "new.jpg"}


def test_json_is_one_object_with_the_fixed_keys(faces: Faces, photos: Path) -> None:
    done = faces("run", photos, "-o", "out", "--json")
    told = json.loads(done.stdout)
    assert set(told) == JSON_KEYS
    counts = ("images", "faces_images", "no_faces", "failed", "faces", "skipped")
    assert [told[key] for key in counts] == [3, 1, 1, 1, 1, 0]
    assert told["images_per_second"] > 0 and told["seconds"] > 0


def test_a_hiding_run_says_which_pictures_are_not_in_out_and_copies_them_where_it_is_asked_to(
    faces: Faces, photos: Path, tmp_path: Path
) -> None:
    without = faces("run", photos, "-o", "out", "--mode", "blur")
    told = "not in OUT/annotated: 1 picture without faces; --copy-rest puts them there too"
    assert told in without.stdout + without.stderr
    before = {path.name for path in (tmp_path / "out/annotated").rglob("*") if path.is_file()}
    assert not any("moon" in name for name in before), "it is not there yet"

    copied = faces("run", photos, "-o", "out", "--mode", "blur", "--copy-rest")
    assert told not in copied.stdout + copied.stderr
    after = {path.name for path in (tmp_path / "out/annotated").rglob("*") if path.is_file()}
    assert any("moon" in name for name in after)
    assert not any("half" in name for name in after), "what failed is never there"


def test_all_well_is_status_0_without_a_word_about_failures(faces: Faces, photos: Path) -> None:
    done = faces("run", photos / "me.jpg", "-o", "out")
    assert done.returncode == 0
    assert LAST_LINE.fullmatch(done.stdout.strip())


def test_a_missing_path_is_one_clear_line_and_nothing_is_started(
    faces: Faces, photos: Path, tmp_path: Path
) -> None:
    done = faces("run", photos, "nowhere", "-o", "out")
    assert done.returncode == 2
    assert done.stderr == "faces: there is no file or folder 'nowhere'; nothing was started\n"
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--redis", "redis://127.0.0.1:1"], 4, "Redis cannot be reached"),
        (["--database", "postgresql://127.0.0.1:1/x"], 4, "the catalog (PostgreSQL"),
        (["--min-score", "3"], 2, "--min-score 3"),
        (["--model", "guess"], 2, "there is no model 'guess'; choose one of yunet"),
        (["--done-dir", "photos/me.jpg"], 2, "is not a folder"),
    ],
)
def test_what_cannot_be_used_is_one_line_and_the_right_status(
    faces: Faces, photos: Path, arguments: list[str], status: int, said: str
) -> None:
    done = faces("run", photos, "-o", "out", *arguments)
    assert (done.returncode, done.stdout) == (status, "")
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_an_output_folder_that_is_a_file_is_refused(faces: Faces, photos: Path) -> None:
    done = faces("run", photos, "-o", photos / "me.jpg")
    assert done.returncode == 2
    assert "cannot write in the output folder" in done.stderr


def test_the_output_folder_is_not_searched_though_it_is_inside(faces: Faces, photos: Path) -> None:
    for _ in range(2):
        done = faces("run", photos, "-o", photos / "out")
        assert done.stdout.splitlines()[-1].startswith("3 images  ")


def test_several_paths_keep_their_folders_names(faces: Faces, photos: Path, tmp_path: Path) -> None:
    put(tmp_path / "other" / "me.jpg", FACE)
    put(tmp_path / "single.jpg", FACE)
    assert faces("run", photos, "other", "single.jpg", "-o", "out").returncode == 3
    assert annotated(tmp_path / "out") == {"photos/me.jpg", "other/me.jpg", "single.jpg"}


def test_odd_file_names_are_safe(faces: Faces, tmp_path: Path) -> None:
    names = [
        b"a b.jpg",
        b"quote'\".jpg",
        b"new\nline.jpg",
        b"\xff\xfe.jpg",
        b"..jpg.jpg",
        b"-o.jpg",
    ]
    folder = tmp_path / "odd"
    folder.mkdir()
    for name in names:
        Path(os.fsdecode(os.fsencode(folder) + b"/" + name)).write_bytes(FACE)
    done = faces("run", folder, "-o", "out dir")
    assert done.returncode == 0, done.stderr
    found = rows(tmp_path / "out dir")
    kept = [name for name in names if not name.startswith(b".")]  # hidden files are not taken
    assert sorted(name for name, _, _ in found) == sorted(
        name.decode("utf-8", "backslashreplace") for name in kept
    )
    assert {status for _, status, _ in found} == {"faces"}
    assert len(annotated(tmp_path / "out dir")) == len(kept)


def test_originals_are_moved_only_when_their_row_is_committed(
    faces: Faces, photos: Path, tmp_path: Path
) -> None:
    assert faces("run", photos, "-o", "out", "--done-dir", "done").returncode == 3
    assert (tmp_path / "done" / "me.jpg").read_bytes() == FACE
    assert (tmp_path / "done" / "trip" / "moon.png").read_bytes() == NO_FACE
    left = {path.name for path in photos.rglob("*") if path.is_file()}
    assert left == {"half.jpg", "notes.txt"}  # what failed stays where it was


async def test_interrupted_it_drains_and_the_same_command_resumes(
    faces: Faces, tmp_path: Path
) -> None:
    folder, out = many(tmp_path / "many", MANY), tmp_path / "out"
    run = faces.start("run", folder, "-o", out)
    await wait_until(lambda: ended(out) > 3, "some pictures are done", timeout=60)
    run.send_signal(signal.SIGINT)
    output, errors = run.communicate(timeout=60)
    assert run.returncode == 130
    assert LAST_LINE.fullmatch(output.splitlines()[-1])
    assert "the same command goes on where it stopped" in errors
    first = {row for row in rows(out) if row[1] != "queued"}
    assert 3 < len(first) < MANY
    assert len(annotated(out)) == len(first)
    again = faces("run", folder, "-o", out)
    assert again.returncode == 0
    assert f"{len(first)} were finished by an earlier run" in again.stdout
    assert first < set(rows(out))  # nothing that was finished was done again
    assert ended(out) == len(rows(out)) == len(annotated(out)) == MANY


async def test_killed_it_leaves_no_server_behind_and_the_same_command_resumes(
    faces: Faces, tmp_path: Path
) -> None:
    folder, out = many(tmp_path / "many", MANY), tmp_path / "out"
    run = faces.start("run", folder, "-o", out)
    await wait_until(lambda: ended(out) > 3, "some pictures are done", timeout=60)
    server = json.loads((out / ".faces" / "valkey.json").read_text())["pid"]
    run.kill()
    run.communicate()
    await wait_until(lambda: is_gone(server), "the private server has ended")
    first = {row for row in rows(out) if row[1] != "queued"}
    again = faces("run", folder, "-o", out)
    assert again.returncode == 0, again.stderr
    assert first <= set(rows(out))
    assert ended(out) == len(rows(out)) == len(annotated(out)) == MANY


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


async def test_a_second_run_says_who_holds_the_folder_and_waits(
    faces: Faces, photos: Path, tmp_path: Path
) -> None:
    with hold(tmp_path / "out", print):
        second = faces.start("run", photos / "me.jpg", "-o", "out")
        assert second.stderr is not None
        said = second.stderr.readline()
        assert f"out is in use by another faces run, process {os.getpid()}" in said
        assert second.poll() is None
    output, _ = second.communicate(timeout=60)
    assert second.returncode == 0
    assert output.startswith("1 images  ")


def test_a_lost_queue_costs_nothing_that_was_finished(
    faces: Faces, photos: Path, tmp_path: Path
) -> None:
    faces("run", photos, "-o", "out")
    shutil.rmtree(tmp_path / "out" / ".faces")
    put(photos / "new.jpg", FACE)
    again = faces("run", photos, "-o", "out")
    assert again.stdout.splitlines()[-1].startswith("4 images  2 with faces")
    assert annotated(tmp_path / "out") == {"me.jpg", "new.jpg"}
