"""After a mend of drawing, a run counts the pictures that were drawn before, and says how to redo.

The mend is a program whose version of drawing is one higher.
"""

import json
import re
import shlex
from pathlib import Path

import pytest

from bench.samples import samples
from shared.recipe import DRAWING_VERSION
from tests.support.faces_command import PROJECT, Faces

MENDED = DRAWING_VERSION + 1


@pytest.fixture
def before(tmp_path: Path) -> Faces:
    """The command, and two pictures in `photos`, only one of which has a face."""
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "face.jpg").write_bytes(dict(samples())["portrait/as it is.jpg"])
    (tmp_path / "photos" / "moon.jpg").write_bytes(dict(samples())["no face/moon.jpg"])
    return Faces(tmp_path, FACES_MODEL="haar")


@pytest.fixture
def after(tmp_path: Path) -> Faces:
    """The command of the mended program."""
    site = tmp_path / "site"
    site.mkdir()
    (site / "sitecustomize.py").write_text(
        f"from shared import recipe\nrecipe.DRAWING_VERSION = {MENDED}\n"
    )
    return Faces(tmp_path, FACES_MODEL="haar", PYTHONPATH=f"{site}:{PROJECT}")


def drawings(faces: Faces) -> dict[str, tuple[int, int | None]]:
    """Generation and version of drawing of each row."""
    told = json.loads(faces("results", "-o", "my out", "--format", "json").stdout)
    return {row["name"]: (row["generation"], row["drawing"]) for row in told}


def test_the_summary_counts_them_and_its_command_draws_them_again(
    before: Faces, after: Faces
) -> None:
    first = before("run", "photos", "-o", "my out")
    assert "before a mend" not in first.stdout, first.stderr
    assert drawings(before)["face.jpg"] == (1, DRAWING_VERSION)

    again = after("run", "photos", "-o", "my out")
    found = re.search(r"1 picture drawn before a mend .*: \S*faces (redo .*)", again.stdout)
    assert found, again.stdout + again.stderr
    redone = after(*shlex.split(found[1]))
    assert redone.returncode == 0, redone.stderr
    generation, drawing = drawings(after)["face.jpg"]
    assert (generation, drawing) == (2, MENDED)
    assert drawings(after)["moon.jpg"][0] == 1, "nothing was drawn of it"

    told = json.loads(after("run", "photos", "-o", "my out", "--json").stdout)
    assert told["drawn_before_mend"] == 0
    assert after("redo", "--drawn-before-mend", "-o", "my out").stdout == "nothing to do again\n"
