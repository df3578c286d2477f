"""What the command line shows of names, reasons and dead letters moves no cursor."""

from pathlib import Path

import pytest
from redis.typing import EncodableT, FieldT

from shared.catalog import Catalog
from shared.messages import Status
from shared.streams.keys import DEAD, IMAGES
from tests.support.catalogs import RECIPE, failure, some_images, step_of
from tests.support.entries import entries_in
from tests.support.faces_command import Faces
from tests.support.stages import image, suite_on

HOSTILE = "a\r\n\x1b[2J\x1b]0;title\x07\x9b31m\u202e=cmd.jpg"


def plain(text: str) -> bool:
    return all(letter.isprintable() for line in text.split("\n") for letter in line)


@pytest.fixture
def faces(tmp_path: Path, redis_url: str) -> Faces:
    return Faces(
        tmp_path,
        FACES_REDIS_URL=redis_url,
        FACES_DATABASE_URL=f"sqlite:///{tmp_path}/faces.db",
        PYTHONIOENCODING="utf-8",
    )


async def test_dead_letters_are_shown_without_their_escape_sequences(
    faces: Faces, redis_url: str
) -> None:
    async with suite_on(redis_url) as suite:
        key = suite.keys.stream(DEAD)
        history = b'[{"at": "now\\u001b[2J", "consumer": "c\\u001b[2J", "reason": "r\\u001b[2J"}]'
        letters: tuple[dict[FieldT, EncodableT], ...] = (
            {"m": image(HOSTILE).encode(), "reason": HOSTILE, "history": history},
            {"m": b"\x1b[2J\xff", "reason": b"\xff\x1b[2J", "history": b"[[["},
            {"m": b"", "n": b"9" * 5000, "history": b'[{"at": 1}]'},
        )
        for letter in letters:
            await suite.client.xadd(key, {"stream": suite.keys.stream(IMAGES), **letter})
        ids = [entry.decode() for entry, _ in entries_in(await suite.client.xrange(key))]
        await suite.client.xadd(key, {"stream": b"\xff\x1b[2J"}, id="99999999999999999-0")
    listed = faces("dead", "list")
    assert listed.returncode == 0, listed.stderr
    assert plain(listed.stdout)
    assert "\\x1b[2J" in listed.stdout
    assert all(one in listed.stdout for one in ids), "none hides the others"
    for one in ids[:2]:
        shown = faces("dead", "show", one)
        assert shown.returncode == 0, shown.stderr
        assert plain(shown.stdout)
    assert faces("dead", "list", "--json").returncode == 0


async def test_results_are_shown_without_escape_sequences_of_names(
    faces: Faces, tmp_path: Path
) -> None:
    catalog = await Catalog.open(f"sqlite:///{tmp_path}/faces.db")
    (one,) = some_images(1)
    odd = type(one)(one.id, HOSTILE, one.source_uri)
    await catalog.ledger.queue(step_of([odd], recipe=RECIPE))
    await catalog.ledger.commit([failure(odd, reason=HOSTILE)])
    (row,) = await catalog.reader.show(one.id)
    assert row.status is Status.FAILED
    await catalog.close()
    table = faces("results", "--database", f"sqlite:///{tmp_path}/faces.db")
    assert table.returncode == 0, table.stderr
    assert len(table.stdout.splitlines()) == 2
    assert plain(table.stdout)


def test_names_of_files_that_are_not_sent_are_shown_as_one_line(
    faces: Faces, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / HOSTILE).symlink_to("nowhere")
    done = faces("submit", "-q", folder)
    assert "not sent" in done.stderr
    assert plain(done.stderr)
    gone = faces("submit", tmp_path / HOSTILE)
    assert gone.returncode == 2
    assert plain(gone.stderr)
