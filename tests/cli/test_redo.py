"""`faces redo`: pictures are searched again, here for a run's OUT and by a running deployment."""

import json
from dataclasses import replace
from pathlib import Path
from typing import cast

import pytest
import redis

from bench.samples import samples
from services.cli.outdir.record import Record
from services.cli.outdir.roots import Roots
from services.cli.outdir.tree import Tree
from shared.catalog import Catalog, Filter, Member, Redo
from shared.errors import Unreachable
from shared.messages import ImageMessage, Status, new_token, now
from shared.recipe import Mode
from shared.streams.producer import Producer
from shared.verbs.redo import redo
from tests.support.catalogs import RECIPE, failure, nothing_found, result_of, some_images
from tests.support.command_here import Here, here
from tests.support.entries import entries_in
from tests.support.faces_command import Faces

__all__ = ["here"]

SAMPLES = dict(samples())
FACE = SAMPLES["portrait/as it is.jpg"]


class Deployment:
    """A real server, and a catalog with what failed, what was found, and what is queued."""

    def __init__(self, here: Here, redis_url: str, patch: pytest.MonkeyPatch) -> None:
        self.here = here
        self.client = redis.Redis.from_url(redis_url)
        patch.setenv("FACES_REDIS_URL", redis_url)
        patch.setenv("FACES_DATABASE_URL", here.url)
        bad, good, self.queued, sent = some_images(4)
        self.bad, self.good = bad, good
        self.inline = replace(sent, name="sent.jpg", source_uri=None, source_version="")
        here.queue([self.bad, self.good, self.queued, self.inline])
        here.end(failure(self.bad), result_of(self.good), failure(self.inline))

    def sent(self) -> list[ImageMessage]:
        """What waits for detectors."""
        found = entries_in(self.client.xrange("{faces}:images"))
        return [ImageMessage.decode(fields[b"m"]) for _, fields in found]


@pytest.fixture
def deployment(here: Here, redis_url: str, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    return Deployment(here, redis_url, monkeypatch)


def test_what_failed_is_sent_again_under_the_next_generation(deployment: Deployment) -> None:
    answer = deployment.here("redo", "--failed")
    assert answer.status == 3, answer.err
    assert "1 picture sent again" in answer.err
    assert "1 were left as they are: they had been sent along" in answer.err
    (message,) = deployment.sent()
    assert (message.id, message.generation) == (deployment.bad.id, 2)
    assert message.source_uri == deployment.bad.source_uri
    assert message.source_version == deployment.bad.source_version
    (row,) = deployment.here.show(deployment.bad.name)
    assert (row.status, row.generation) == (Status.QUEUED, 2)
    told = json.loads(deployment.here("status", answer.out.strip(), "--json").out)
    assert (told["name"], told["named"], told["sealed"]) == ("redo --failed", 1, True)
    deployment.here.end(nothing_found(deployment.bad, generation=2))
    told = json.loads(deployment.here("status", answer.out.strip(), "--json").out)
    assert told["state"] == "complete"


def test_doing_it_twice_sends_nothing_twice(deployment: Deployment) -> None:
    deployment.here("redo", "--failed")
    again = deployment.here("redo", "--failed", "--json")
    told = json.loads(again.out)
    assert (told["sent"], told["under_way"], told["lost"]) == (0, 0, 1)
    assert len(deployment.sent()) == 1


@pytest.mark.parametrize("by_id", [False, True])
def test_a_pattern_or_an_id_says_which(deployment: Deployment, by_id: bool) -> None:
    wanted = deployment.good.id if by_id else "*000001*"
    answer = deployment.here("redo", wanted)
    assert answer.status == 0, answer.err
    assert [message.id for message in deployment.sent()] == [deployment.good.id]
    assert deployment.here("redo", "nothing like it").out == "nothing to do again\n"


def test_another_recipe_leaves_the_old_rows_and_makes_new_ones(deployment: Deployment) -> None:
    answer = deployment.here("redo", "*", "--recipe-changed", "--model", "haar", "--mode", "blur")
    assert "2 pictures sent again" in answer.err
    assert {message.recipe.mode for message in deployment.sent()} == {Mode.BLUR}
    rows = deployment.here.show(deployment.good.name)
    assert [(row.recipe == RECIPE.id, row.status) for row in rows] == [
        (True, Status.FACES),
        (False, Status.QUEUED),
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "which ones?"),
        (["--failed", "--mode", "blur"], "give --recipe-changed"),
        (["--recipe-changed", "--model", "eyes"], "there is no model 'eyes'"),
        (["*", "--submission", "ff"], "knows no submission ff"),
    ],
)
def test_what_cannot_be_meant_is_one_line_and_sends_nothing(
    deployment: Deployment, given: list[str], said: str
) -> None:
    answer = deployment.here("redo", *given)
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert said in answer.err
    assert deployment.sent() == []


def test_a_server_that_is_away_is_status_4_and_changes_nothing(deployment: Deployment) -> None:
    answer = deployment.here("redo", "--failed", "--redis", "redis://127.0.0.1:1/0")
    assert answer.status == 4
    assert deployment.here.show(deployment.bad.name)[0].status is Status.FAILED


class Away:
    """A producer whose server goes away before it takes anything."""

    async def add(self, _message: ImageMessage) -> bool:
        raise Unreachable("away")


def test_cut_off_it_leaves_a_submission_that_can_still_become_complete(
    deployment: Deployment,
) -> None:
    request = Redo("9" * 32, "redo", now(), Filter(statuses=(Status.FAILED,)), limit=1)

    async def cut_off(catalog: Catalog) -> None:
        with pytest.raises(Unreachable):
            await redo(request, catalog, cast(Producer, Away()))

    deployment.here.ask(cut_off)
    assert deployment.sent() == []
    assert deployment.here("submit", "--missing", "--json").status == 0
    assert deployment.bad.id in {message.id for message in deployment.sent()}
    deployment.here.end(nothing_found(deployment.bad, generation=2))
    assert json.loads(deployment.here("status", "9", "--json").out)["state"] == "complete"


def test_in_the_folder_of_a_run_it_is_done_at_once(tmp_path: Path) -> None:
    faces = Faces(tmp_path, FACES_MODEL="haar")
    for name in ("trip/a.jpg", "trip/b.jpg", "other/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(FACE)
    faces("run", "trip", "other", "-o", "out")
    annotated = tmp_path / "out" / "annotated"
    (annotated / "trip" / "b.jpg").unlink()
    blurred = faces("redo", "*b.jpg", "--recipe-changed", "--mode", "blur", "-o", "out", "--json")
    assert blurred.returncode == 0, blurred.stderr
    assert json.loads(blurred.stdout)["images"] == 1
    before = (annotated / "trip" / "b.jpg").read_bytes()
    again = faces("redo", "*", "-o", "out", "--json")
    assert again.returncode == 0, again.stderr
    assert json.loads(again.stdout)["images"] == 3, "b in its newer recipe only"
    shown = json.loads(faces("show", "b.jpg", "-o", "out", "--json").stdout)
    assert [(row["generation"], row["current"]) for row in shown] == [(1, False), (2, True)]
    files = {str(path.relative_to(annotated)) for path in annotated.rglob("*.jpg")}
    assert files == {"trip/a.jpg", "trip/b.jpg", "other/c.jpg"}
    assert (annotated / "trip" / "b.jpg").read_bytes() == before, "the newer recipe's stays"
    assert faces("redo", "--failed", "-o", "out").stdout == "nothing to do again\n"


def test_a_file_that_is_whole_again_is_no_longer_told_as_cut_after_a_redo(tmp_path: Path) -> None:
    faces = Faces(tmp_path, FACES_MODEL="haar")
    (tmp_path / "a.jpg").write_bytes(FACE[: len(FACE) * 9 // 10])
    faces("run", "a.jpg", "-o", "out")
    cut = ("results", "-o", "out", "--cut", "--format", "json")
    assert [row["cut"] for row in json.loads(faces(*cut).stdout)] == [True]
    (tmp_path / "a.jpg").write_bytes(FACE)
    assert json.loads(faces("redo", "*", "-o", "out", "--json").stdout)["cut"] == 0
    assert json.loads(faces(*cut).stdout) == []


def test_pictures_placed_only_by_a_redo_lie_where_the_run_would_have_put_them(
    tmp_path: Path,
) -> None:
    image = new_token()
    (tmp_path / "objects" / "r").mkdir(parents=True)
    (tmp_path / "objects" / "r" / f"{image}.jpg").write_bytes(b"drawn")
    first = Roots([tmp_path, tmp_path / "objects"])
    folders = (tmp_path / "annotated", tmp_path / "objects")
    with Record.open(tmp_path / "layout.db") as record:
        Tree(*folders, record, first).remember_roots()
        tree = Tree(*folders, record, Roots([]))
        tree.recall_roots(own_recipe=True)
        source = (tmp_path / "trip" / "a.jpg").as_uri()
        found = Member(1, image, source, Status.FACES, f"file:///o/r/{image}.jpg", "r")
        assert tree.place([found]) == 1
        older = replace(found, status=Status.NO_FACES, annotated_uri=None, recipe="older")
        assert tree.place([older]) == 0, "another recipe has no say in it"
    assert (tmp_path / "annotated" / tmp_path.name / "trip" / "a.jpg").is_file()
