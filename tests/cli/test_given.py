"""What a run was given is all that it reads, moves and reads again, whatever rows and links say."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from bench.samples import samples
from services.cli.outdir.record import Record
from shared.catalog import Catalog, Filter, QueuedImage
from shared.identity import file_version, reference_id
from shared.messages import new_token, now
from shared.reasons import Reason
from shared.urls import file_uri, sqlite_url
from tests.cli.test_run import annotated, put, rows
from tests.support.catalogs import failure, step_of
from tests.support.faces_command import Faces

FACE = dict(samples())["portrait/as it is.jpg"]


@pytest.fixture
def faces(tmp_path: Path) -> Iterator[Faces]:
    """The command, in an empty folder."""
    command = Faces(tmp_path, FACES_MODEL="haar", FACES_SLOTS="1")
    yield command
    command.end_all()


def reasons(faces: Faces, out: str = "out") -> dict[str, str | None]:
    """Each row's code by its name."""
    listed = faces("results", "-o", out, "--format", "jsonl").stdout
    return {row["name"]: row["code"] for row in map(json.loads, listed.splitlines())}


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """A folder with links that lead out of it: to a picture, to a folder, and back in a circle."""
    folder = tmp_path / "album"
    put(folder / "a.jpg", FACE)
    put(tmp_path / "private" / "b.jpg", FACE)
    put(tmp_path / "far" / "c.jpg", FACE)
    (folder / "again.jpg").symlink_to("a.jpg")
    (folder / "b.jpg").symlink_to(tmp_path / "private" / "b.jpg")
    (folder / "far").symlink_to(tmp_path / "far")
    (tmp_path / "far" / "circle").symlink_to(folder)
    return folder


def test_links_that_lead_out_of_what_was_given_are_refused_and_told(
    faces: Faces, album: Path, tmp_path: Path
) -> None:
    done = faces("run", album, "-o", "out")
    assert done.returncode == 3, done.stderr
    assert reasons(faces) == {"a.jpg": None, "again.jpg": None, "b.jpg": Reason.NOT_ALLOWED}
    told = "1 link to pictures (failed: not_allowed) and 1 link to folders"
    assert f"not followed: {told} (" in done.stdout
    assert "out of what was given; --follow-links searches" in done.stdout
    assert set(annotated(tmp_path / "out")) == {"a.jpg", "again.jpg"}


def test_links_are_followed_when_asked_for_and_a_redo_does_the_same(
    faces: Faces, album: Path, tmp_path: Path
) -> None:
    done = faces("run", album, "-o", "out", "--follow-links", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["links_refused"] == 0
    wanted = {"a.jpg", "again.jpg", "b.jpg", "far/c.jpg"}
    assert set(reasons(faces)) == wanted
    assert set(annotated(tmp_path / "out")) == wanted
    again = faces("redo", "*", "-o", "out", "--json")
    assert json.loads(again.stdout)["failed"] == 0, again.stderr
    faces("run", album, "-o", "out")  # the last run's word counts
    faces("redo", "*", "-o", "out")
    assert reasons(faces)["far/c.jpg"] == Reason.NOT_ALLOWED


def test_of_a_file_given_alone_nothing_beside_it_is_read(faces: Faces, tmp_path: Path) -> None:
    put(tmp_path / "in" / "a.jpg", FACE)
    put(tmp_path / "in" / "b.jpg", FACE)
    (tmp_path / "link.jpg").symlink_to("in/a.jpg")
    assert faces("run", "link.jpg", "-o", "out").returncode == 0
    plant(tmp_path, "in/b.jpg")
    assert faces("redo", "--failed", "-o", "out").returncode == 3
    assert reasons(faces) == {"a.jpg": None, "b.jpg": Reason.NOT_ALLOWED}


def plant(folder: Path, name: str, out: str = "out") -> None:
    """A failed row of a file that no run was given, as who may write into Redis can have it."""
    import asyncio

    async def forge() -> None:
        catalog = await Catalog.open(sqlite_url(folder / out / "faces.db"))
        try:
            path = folder / name
            uri = file_uri(os.fsencode(path))
            status = path.stat()
            version = file_version(status.st_size, status.st_mtime_ns)
            image = QueuedImage(reference_id(uri, version), path.name, uri, version)
            (known, *_) = await catalog.reader.page(Filter())
            recipe = await catalog.reader.recipe(known.recipe)
            await catalog.ledger.queue(step_of([image], new_token(), at=now(), recipe=recipe))
            await catalog.ledger.commit([failure(image).model_copy(update={"recipe": recipe})])
        finally:
            await catalog.close()

    asyncio.run(forge())


def test_a_redo_reads_nothing_that_no_run_was_given(faces: Faces, tmp_path: Path) -> None:
    put(tmp_path / "in" / "a.jpg", FACE)
    put(tmp_path / "private" / "secret.jpg", FACE)
    assert faces("run", "in", "-o", "out").returncode == 0
    plant(tmp_path, "private/secret.jpg")
    done = faces("redo", "--failed", "-o", "out")
    assert done.returncode == 3, done.stderr
    assert reasons(faces)["secret.jpg"] == Reason.NOT_ALLOWED
    assert set(annotated(tmp_path / "out")) == {"a.jpg"}


def test_a_redo_of_an_older_out_that_says_nothing_of_its_folders_says_what_to_do(
    faces: Faces, tmp_path: Path
) -> None:
    put(tmp_path / "in" / "a.jpg", FACE)
    faces("run", "in", "-o", "out")
    (tmp_path / "out" / ".faces" / "layout.db").unlink()
    done = faces("redo", "*", "-o", "out")
    assert done.returncode == 2
    assert "give them to `faces run` once more" in done.stderr
    assert "1 were finished by an earlier run" in faces("run", "in", "-o", "out").stdout
    assert faces("redo", "*", "-o", "out").returncode == 0


def test_thousands_of_files_given_one_by_one_are_all_read(faces: Faces, tmp_path: Path) -> None:
    for n in range(40):
        put(tmp_path / "in" / f"{n}.jpg", FACE + b"%d" % n)
    given = [f"in/{n}.jpg" for n in range(0, 40, 2)]
    assert faces("run", *given, "-o", "out").returncode == 0
    assert len(rows(tmp_path / "out")) == len(given)
    with Record.open(Record.file(tmp_path / "out")) as record:
        assert len(record.roots()) == len(given)
