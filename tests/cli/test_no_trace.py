"""After `faces forget` no file below OUT holds the names of what was forgotten, as bytes."""

import os
import signal
import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import quote

import pytest

from bench.samples import samples
from services.cli.local.embedded import EmbeddedValkey
from services.cli.outdir.private import PRIVATE
from shared.catalog.naming import FORGOTTEN, without
from tests.support.faces_command import Faces
from tests.support.waiting import wait_until

SAMPLES = dict(samples())
FACE, MOON = SAMPLES["portrait/as it is.jpg"], SAMPLES["no face/moon.jpg"]


def holding(out: Path, *names: str) -> list[str]:
    """What below OUT holds, or is called by, one of these names, in whatever form."""
    forms = {form for name in names for form in (name.encode(), quote(name).encode())}
    return [
        str(path.relative_to(out))
        for path in out.rglob("*")
        if any(
            form in os.fsencode(path) or (path.is_file() and form in path.read_bytes())
            for form in forms
        )
    ]


@pytest.mark.parametrize("name", ["anna.jpg", "Ánna Ölçer.jpg"])
@pytest.mark.parametrize("given", ["photos", "the file"])
def test_no_file_below_out_holds_the_name(tmp_path: Path, name: str, given: str) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    (photos / name).write_bytes(FACE)
    (photos / "bob.jpg").write_bytes(FACE + b"bob")
    paths = [photos] if given == "photos" else [photos / name, photos / "bob.jpg"]
    faces = Faces(tmp_path, FACES_MODEL="haar")
    run = ("-o", out, "--sidecar", "xmp", "--sidecar", "json", "--crops")
    done = faces("run", *paths, *run)
    assert done.returncode == 0, done.stderr
    assert faces("redo", name, "-o", out).returncode == 0
    assert holding(out, name), "the search finds what there is"
    told = faces("forget", name, "-o", out, "--yes")
    assert told.returncode == 0, told.stderr
    assert holding(out, name) == []
    assert holding(out, "bob.jpg"), "the other is still there"
    (photos / name).unlink()
    again = faces("run", photos / "bob.jpg", "-o", out)
    assert again.returncode == 0, again.stderr
    assert holding(out, name) == []


async def test_what_failed_and_was_in_flight_when_a_run_was_killed_leaves_none_either(
    tmp_path: Path,
) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    for number in range(40):
        (photos / f"anna-{number}.jpg").write_bytes(MOON + b"%d" % number)
    (photos / "anna-bad.jpg").write_bytes(b"no picture")
    faces = Faces(tmp_path, FACES_MODEL="haar")
    running = faces.start("run", photos, "-o", out, "--slots", "1")
    await wait_until(lambda: has_ended_one(out), "a picture has ended")
    running.send_signal(signal.SIGKILL)
    running.communicate()
    told = faces("forget", "*anna*", "-o", out, "--yes")
    assert told.returncode == 0, told.stderr
    assert holding(out, "anna-") == []
    listed = faces("dead", "list", "-o", out)
    assert listed.stdout == "no dead letters\n", listed.stderr
    done = faces("run", photos, "-o", out, "--json")
    assert '"images": 41' in done.stdout, "and what is given again is searched again"


def has_ended_one(out: Path) -> bool:
    """Whether a run's first picture has ended."""
    if not (out / "faces.db").is_file():
        return False
    with closing(sqlite3.connect(out / "faces.db")) as catalog:
        try:
            found = catalog.execute("SELECT count(*) FROM images WHERE committed_at NOT NULL")
            return bool(found.fetchone()[0])
        except sqlite3.OperationalError:  # no table yet
            return False


def test_names_that_an_earlier_version_left_in_freed_pages_go_too(tmp_path: Path) -> None:
    photos, out = tmp_path / "photos", tmp_path / "out"
    photos.mkdir()
    (photos / "anna.jpg").write_bytes(FACE)
    faces = Faces(tmp_path, FACES_MODEL="haar")
    assert faces("run", photos, "-o", out).returncode == 0
    for file in (out / "faces.db", out / PRIVATE / "layout.db"):
        with closing(sqlite3.connect(file)) as database:
            database.execute("PRAGMA secure_delete = OFF")
            database.execute("CREATE TABLE gone (name)")
            names = [(f"old-anna-{n}",) for n in range(999)]
            database.executemany("INSERT INTO gone VALUES (?)", names)
            database.commit()
            database.execute("DROP TABLE gone")
            database.commit()
    assert len(holding(out, "old-anna")) == 2
    assert faces("forget", "anna.jpg", "-o", out, "--yes").returncode == 0
    assert holding(out, "anna") == []


def test_a_queue_that_begins_anew_is_no_other_servers(tmp_path: Path) -> None:
    (tmp_path / PRIVATE).mkdir(mode=0o700)
    valkey = EmbeddedValkey(tmp_path / PRIVATE)
    valkey.start()
    try:
        EmbeddedValkey(tmp_path / PRIVATE).begin_anew()  # the one that was left behind is ended
        assert list((tmp_path / PRIVATE / "appendonlydir").iterdir()) == []
    finally:
        valkey.stop()


@pytest.mark.parametrize(
    ("title", "left"),
    [
        ("anna.jpg, bob.jpg", f"{FORGOTTEN}, bob.jpg"),
        ("redo --failed anna.jpg", f"redo --failed {FORGOTTEN}"),
        ("redo *anna*", f"redo {FORGOTTEN}"),
        ("redo --failed *an a*", f"redo --failed {FORGOTTEN}"),
        ("redo *", "redo *"),
        ("hannanna.jpg", "hannanna.jpg"),
        ("photos", "photos"),
    ],
)
def test_a_submission_keeps_its_name_but_for_what_was_forgotten(title: str, left: str) -> None:
    assert without(title, {"anna.jpg", "an anna.jpg"}) == left
