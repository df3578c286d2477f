"""Asking the catalog: `faces results` in pages and as Parquet, `show`, `status`, `cancel`."""

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta

import pyarrow.parquet  # type: ignore[import-untyped]
import pytest

from services.cli.formats import parquet
from shared.catalog import Catalog, ImageRow
from shared.errors import FacesError
from shared.messages import Face, Status, new_token, now
from shared.reasons import Reason
from shared.recipe import Mode, Recipe
from tests.cli.test_formats import FAILED, ROW
from tests.support.catalogs import RECIPE, failure, nothing_found, result_of, some_images, step_of
from tests.support.command_here import Here, here

__all__ = ["here"]

SMALL, LARGE = "a1" * 16, "b2" * 16


def names(text: str) -> list[str]:
    return [json.loads(line)["name"] for line in text.splitlines()]


def test_pages_follow_each_other_and_the_last_says_so_by_saying_nothing(here: Here) -> None:
    images = some_images(5)
    here.queue(images)
    seen, after = [], ["--limit", "2"]
    for _ in range(3):
        page = here.on("results", "--format", "jsonl", *after)
        seen += names(page.out)
        if page.err:
            assert page.err.startswith("there are more: the same with --after ")
            after = ["--limit", "2", *page.err.split()[-2:]]
    assert seen == [image.name for image in images]
    assert page.err == ""
    assert here.on("results", "--limit", "5").err == "", "there are no more than these"


@pytest.mark.parametrize(
    ("given", "expected"),
    [("2", [2]), ("1..", [1, 2, 3]), ("..1", [0, 1]), ("1..2", [1, 2]), ("0", [0])],
)
def test_a_number_of_faces_may_be_a_range(here: Here, given: str, expected: list[int]) -> None:
    images = some_images(4)
    here.queue(images)
    face = result_of(images[0]).faces[0]
    here.end(
        nothing_found(images[0]),
        *(result_of(image, faces=(face,) * n) for n, image in enumerate(images[1:], 1)),
    )
    found = here.on("results", "--faces", given, "--format", "jsonl").out
    assert [json.loads(line)["face_count"] for line in found.splitlines()] == expected


def test_filters_are_of_status_date_and_submission_by_the_beginning_of_its_id(here: Here) -> None:
    first, second = some_images(1, "a"), some_images(1, "b")
    here.queue(first, SMALL)
    here.queue(second, LARGE)
    here.end(failure(first[0]))
    ask = ("results", "--format", "jsonl")
    assert names(here.on(*ask, "--status", "failed").out) == [first[0].name]
    assert names(here.on(*ask, "--submission", "b2").out) == [second[0].name]
    tomorrow = f"{now() + timedelta(days=1):%Y-%m-%d}"
    assert names(here.on(*ask, "--since", tomorrow).out) == []
    assert names(here.on(*ask, "--until", tomorrow).out) == [first[0].name]


@pytest.mark.parametrize("wrong", ["three", "1-3", "1...3", "..x"])
def test_a_wrong_range_is_explained(here: Here, wrong: str) -> None:
    answer = here.on("results", "--faces", wrong)
    assert (answer.status, answer.out) == (2, "")
    assert "write 3, 3.., ..3 or 1..3" in answer.err


async def written(*rows: ImageRow) -> bytes:
    async def given(_faces: bool) -> AsyncIterator[ImageRow]:
        for row in rows:
            yield row

    raw = io.BytesIO()
    out = io.TextIOWrapper(raw)
    assert await parquet.write(given, out) == len(rows)
    out.detach()
    return raw.getvalue()


async def test_parquet_has_a_row_an_image_with_its_faces_in_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(parquet, "ROW_GROUP", 2)
    rows = [ROW, FAILED, replace(ROW, name="c.jpg")]
    file = pyarrow.parquet.ParquetFile(io.BytesIO(await written(*rows)))
    assert file.num_row_groups == 2, "memory holds one group at a time"
    table = file.read().to_pylist()
    assert [row["name"] for row in table] == [ROW.name, "b.jpg", "c.jpg"]
    first, failed, _ = table
    assert (first["status"], first["queued_at"], first["width"]) == ("faces", ROW.queued_at, 640)
    assert first["faces"][0]["landmarks"] == [1, 2, 3, 4, 5, 6, 7, 8, 9, 10]
    assert Face(**first["faces"][1] | {"score": 0.9, "landmarks": ()}) == ROW.faces[1]
    assert (failed["faces"], failed["reason"]) == ([], "empty")
    assert pyarrow.parquet.read_table(io.BytesIO(await written())).num_rows == 0


async def test_without_pyarrow_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(FacesError, match="pip install pyarrow"):
        await written(ROW)


def test_show_tells_the_history_of_a_picture(here: Here) -> None:
    image, queued = some_images(2)
    here.queue([image, queued])
    here.end(result_of(image, attempts=2))
    shown = here.on("show", image.name)
    assert shown.status == 0
    facts = {
        what: value.strip()
        for what, _, value in (line.strip().partition(":") for line in shown.out.splitlines())
    }
    assert facts["id"] == image.id
    assert facts["source"] == image.source_uri
    assert facts["model"] == "yunet test"
    assert facts["detected"].endswith("in 20 ms by detector-1")
    assert facts["status"] == "faces"
    assert facts["attempts"] == "2"
    assert facts["face 2"] == "30 x 40 at 10, 20; 0.9"
    waiting = here.on("show", queued.id).out
    assert "queued" in waiting and "committed" not in waiting


def test_show_has_every_recipe_and_version_also_as_json(here: Here) -> None:
    old, new = (replace(image, name="same.jpg") for image in some_images(2))
    here.queue([old, new])
    here.end(failure(old, reason="too\nlate"))
    blurred = Recipe(model="yunet", model_version="test", mode=Mode.BLUR)
    here.ask(lambda catalog: catalog.ledger.queue(step_of([new], part=1, recipe=blurred)))
    told = json.loads(here.on("show", "same.jpg", "--json").out)
    assert [(one["id"], one["recipe"]) for one in told] == [
        (old.id, RECIPE.id),
        (new.id, RECIPE.id),
        (new.id, blurred.id),
    ]
    assert told[2]["parameters"]["mode"] == "blur"
    text = here.on("show", "same.jpg").out
    assert text.count("same.jpg\n") == 3
    assert "too\\nlate" in text and "(mode=blur)" in text
    assert here.on("show", new.id, "--recipe", blurred.id).out.count("same.jpg\n") == 1


def test_a_picture_that_is_not_there_is_one_line_that_says_how_to_look(here: Here) -> None:
    answer = here.on("show", "beach")
    assert (answer.status, answer.out, answer.err.count("\n")) == (2, "", 1)
    assert "faces results --name '*beach*'" in answer.err


def test_status_has_a_line_a_submission_and_all_of_one(here: Here) -> None:
    assert here.on("status").out == "no submissions\n"
    images = some_images(4)
    here.queue(images[:3], SMALL)
    here.queue(images[3:], LARGE, sealed=False)
    here.end(result_of(images[0]), nothing_found(images[1]))
    head, *lines = here.on("status").out.splitlines()
    assert head.startswith("id ")
    states = {line.split()[0]: line for line in lines}
    assert "running" in states[SMALL[:12]] and "reading sources" in states[LARGE[:12]]
    one = here.on("status", "a1").out
    assert "named:      3 images" in one
    assert "faces:      2 in 1 images; none in 1" in one
    told = json.loads(here.on("status", "a1", "--json").out)
    assert (told["ended"], told["queued"], told["state"]) == (2, 1, "running")
    assert told["images_per_second"] > 0
    left = told["queued"] / told["images_per_second"]
    assert told["eta_seconds"] == pytest.approx(left, rel=0.2, abs=0.1)
    assert json.loads(here.on("status", LARGE, "--json").out)["eta_seconds"] is None


def test_status_says_how_many_sources_were_refused(here: Here) -> None:
    async def refuse() -> None:
        catalog = await Catalog.open(here.url)
        await catalog.ledger.seal(SMALL, 103)
        for part in range(103):
            await catalog.ledger.fail_part(SMALL, part, f"file:///{part}", "below no allowed root")
        await catalog.ledger.seal(LARGE, 0)
        await catalog.close()

    asyncio.run(refuse())
    lines = {line.split()[0]: line for line in here.on("status").out.splitlines()}
    assert "complete, 103 sources refused" in lines[SMALL[:12]]
    assert "refused" not in lines[LARGE[:12]]
    one = here.on("status", SMALL).out
    assert "complete, 103 sources refused" in one
    assert "file:///0: below no allowed root" in one and "not read:   3 more" in one
    told = json.loads(here.on("status", SMALL, "--json").out)
    assert (told["state"], told["refused"]) == ("complete", 103)


def test_watching_ends_with_the_submission(here: Here, monkeypatch: pytest.MonkeyPatch) -> None:
    (image,) = some_images(1)
    here.queue([image], SMALL)
    slept = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)
        catalog = await Catalog.open(here.url)
        await catalog.ledger.commit([nothing_found(image)])
        await catalog.close()

    monkeypatch.setattr("services.cli.commands.status.asyncio.sleep", sleep)
    lines = here.on("status", SMALL, "--watch", "--json").out.splitlines()
    assert [json.loads(line)["state"] for line in lines] == ["waiting", "complete"]
    assert len(slept) == 1


def test_an_id_must_be_known_and_unique(here: Here) -> None:
    here.queue(some_images(1), "ab" * 16)
    here.queue(some_images(1), "ac" * 16)
    for command in ("status", "cancel"):
        assert "2 submissions begin with a" in here.on(command, "a").err
        unknown = here.on(command, "ff")
        assert unknown.status == 2
        assert "knows no submission ff" in unknown.err


def test_cancel_ends_what_is_queued_and_says_what_others_wait_for(here: Here) -> None:
    images = some_images(4)
    here.queue(images, SMALL)
    here.queue(images[3:], LARGE)
    here.end(nothing_found(images[0]))
    answer = here.on("cancel", "a1")
    assert answer.status == 0
    assert "2 images cancelled; 1 had ended before" in answer.out
    assert "1 stay queued" in answer.out
    (row,) = here.show(images[1].name)
    assert (row.status, row.reason) == (Status.FAILED, Reason.CANCELLED.meaning)
    assert here.show(images[3].name)[0].status is Status.QUEUED
    here.end(nothing_found(images[3]))
    assert "cancelled already" in here.on("cancel", "a1").out
    told = json.loads(here.on("cancel", LARGE, "--json").out)
    assert told == {"submission": LARGE, "cancelled": 0, "queued": 0, "was_over": True}


@pytest.mark.parametrize("command", [["status"], ["show", "a"], ["cancel", new_token()]])
def test_every_question_takes_out_or_database(here: Here, command: list[str]) -> None:
    assert "Give -o OUT of a run, or --database URL" in here(*command).err
    by_url = here(*command, "--database", here.url)
    by_folder = here.on(*command)
    assert by_url == by_folder
    assert "there is no catalog in nowhere" in here(*command, "-o", "nowhere").err
