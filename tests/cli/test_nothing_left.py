"""After `faces forget`, and after `faces sweep` of an orphan, nothing of that picture is left.

On SQLite with a folder and on PostgreSQL with S3. The pictures, crops and sidecars are those that a
run really writes; crops in their first form are put beside them.
"""

import json
import sqlite3
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import pytest

from bench.samples import samples
from shared.picture_keys import PictureKeys
from shared.stores.objects import Objects
from tests.support.catalogs import _own_database, catalog_url, empty_postgres, run_sql
from tests.support.faces_command import Faces

__all__ = ["_own_database", "catalog_url", "empty_postgres"]

GONE, STAYS = "gone/anna.jpg", "stays/bob.jpg"


@dataclass(frozen=True)
class Ran:
    """Two pictures that a run has searched, and where it put what it made of them."""

    faces: Faces
    out: Path
    database: str
    objects: Objects

    def on(self, *arguments: str) -> str:
        """Run a command on this deployment; what it prints."""
        place = ("-o", self.out, "--database", self.database, "--objects", self.objects.place)
        done = self.faces(*arguments, *place)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def picture(self, name: str) -> PictureKeys:
        """The keys of a picture."""
        told = self.faces(
            "results", "--name", name, "--format", "json", "--database", self.database
        )
        (row,) = json.loads(told.stdout)
        return PictureKeys(row["recipe"], row["id"])

    async def stored(self, keys: PictureKeys) -> set[str]:
        """The keys of a picture's objects that are in the store, in whatever form."""
        return {one.key async for one in self.objects.list() if PictureKeys.of(one.key) == keys}

    def in_tree(self, name: str) -> set[str]:
        """What OUT/annotated holds in a picture's folder, with the folder."""
        folder = self.out / "annotated" / Path(name).parent
        return {path.name for path in (folder, *folder.glob("*")) if path.exists()}

    async def remove_row(self, name: str) -> None:
        """Delete a picture's row by hand, and leave everything else of it."""
        statement = f"DELETE FROM images WHERE name = '{name}'"
        if not self.database.startswith("sqlite"):
            await run_sql(self.database, statement)
            return
        with sqlite3.connect(self.database.removeprefix("sqlite:///")) as connection:
            connection.execute(statement)
        connection.close()


@pytest.fixture
async def ran(request: pytest.FixtureRequest, catalog_url: str, tmp_path: Path) -> Ran:
    url = (tmp_path / "out" / "objects").as_uri()
    if not catalog_url.startswith("sqlite"):
        url = f"s3://{request.getfixturevalue('bucket')}/kept"
    for name in (GONE, STAYS):
        path = tmp_path / "photos" / name
        path.parent.mkdir(parents=True)
        path.write_bytes(dict(samples())["portrait/as it is.jpg"])
    faces = Faces(tmp_path, FACES_MODEL="haar")
    sidecars = ("--sidecar", "xmp", "--sidecar", "json") * url.startswith("file:")
    place = ("-o", tmp_path / "out", "--database", catalog_url, "--objects", url)
    done = faces("run", tmp_path / "photos", "--crops", *sidecars, *place)
    assert done.returncode == 0, done.stderr
    ran = Ran(faces, tmp_path / "out", catalog_url, Objects.open(url))
    for name in (GONE, STAYS):
        keys = ran.picture(name)
        assert keys.crops(1)[0] in await ran.stored(keys), "the run has kept crops"
        for key in islice(keys.old_crops(), 2):
            await ran.objects.put(key, b"a crop as version 1 wrote it")
        if sidecars:
            assert len(ran.in_tree(name)) == 4, "the folder, the picture, its two sidecars"
    return ran


async def test_what_is_forgotten_is_gone_in_every_form(ran: Ran) -> None:
    gone, stays = ran.picture(GONE), ran.picture(STAYS)
    before, tree = await ran.stored(stays), ran.in_tree(STAYS)
    assert ran.on("forget", "*anna*", "--yes").startswith("1 entry forgotten")
    assert await ran.stored(gone) == set()
    assert ran.in_tree(GONE) == set()
    assert (await ran.stored(stays), ran.in_tree(STAYS)) == (before, tree)


async def test_what_a_sweep_finds_without_a_row_is_gone_in_every_form(ran: Ran) -> None:
    gone, stays = ran.picture(GONE), ran.picture(STAYS)
    before, tree = await ran.stored(stays), ran.in_tree(STAYS)
    await ran.remove_row(GONE)
    assert len(await ran.stored(gone)) >= 4, "annotated, a crop, and two in the first form"
    assert ran.on("sweep", "--older-than", "0", "--yes").endswith("objects deleted\n")
    assert await ran.stored(gone) == set()
    assert ran.in_tree(GONE) == set()
    left = await ran.stored(stays)
    assert {stays.annotated, *stays.crops(1)} <= left <= before
    assert ran.in_tree(STAYS) == tree
