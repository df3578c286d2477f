"""After OUT was moved, its rows, results and commands are about where it is now."""

import json
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bench.samples import samples
from shared.picture_keys import PictureKeys
from tests.support.catalogs import RECIPE, result_of, some_images
from tests.support.command_here import Here, here
from tests.support.faces_command import Faces

__all__ = ["here"]

FACE = dict(samples())["portrait/as it is.jpg"]


def uris(faces: Faces, out: str) -> list[Path]:
    told = json.loads(faces("results", "-o", out, "--format", "json").stdout)
    return [Path(unquote(urlsplit(row["annotated_uri"]).path)) for row in told]


def test_every_command_follows_an_out_that_was_moved(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    for name in ("a.jpg", "b.jpg"):
        (tmp_path / "photos" / name).write_bytes(FACE + name.encode())
    faces = Faces(tmp_path, FACES_MODEL="haar")
    assert faces("run", "photos", "-o", "before").returncode == 0
    (tmp_path / "before").rename(tmp_path / "after é")
    pictures = uris(faces, "after é")
    assert len(pictures) == 2
    assert all(path.is_file() and "after é" in path.parts for path in pictures)
    assert "after" in faces("show", "a.jpg", "-o", "after é").stdout
    again = faces("run", "photos", "-o", "after é")
    assert "2 were finished by an earlier run" in again.stdout
    assert faces("redo", "a.jpg", "-o", "after é").returncode == 0
    assert faces("sweep", "-o", "after é", "--yes").stdout == "0 objects without a row\n"
    forgotten = faces("forget", "*", "-o", "after é", "--yes")
    assert forgotten.stdout.startswith("2 entries forgotten, 2 files in ")
    assert not any(path.exists() for path in pictures)


def test_what_another_store_holds_stays_named_there(here: Here) -> None:
    image = some_images(1)[0]
    here.queue([image])
    key = PictureKeys(RECIPE.id, image.id).annotated
    here.end(result_of(image, annotated=key))
    (row,) = here.show(image.name)
    assert row.annotated_uri is not None
    moved = here.out.rename(here.out.with_name("moved"))
    told = json.loads(here("results", "-o", moved, "--format", "json").out)
    assert told[0]["annotated_uri"] == row.annotated_uri, "its object is not here"
