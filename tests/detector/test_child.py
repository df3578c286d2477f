"""What a child answers, without a process around it."""

import errno
import io
import os
from pathlib import Path

import pytest
from PIL import Image

from services.detector.child import MODELS_KEPT, Worker
from services.detector.pipe import (
    Config,
    Reply,
    Request,
    read_frame,
    write_frame,
)
from services.detector.processed import Limits
from shared.messages import Kind, Status
from shared.model_table import MODELS
from shared.reasons import Reason
from shared.recipe import Recipe
from tests.support.pictures import animated, astronaut, recipe
from tests.support.poison import poisoned

RECIPE = Recipe(model="yunet", model_version=MODELS["yunet"].version)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return poisoned(tmp_path)


def test_an_answer_carries_what_was_found_and_the_pictures(config: Config) -> None:
    reply, pictures = Worker(config).answer(Request(recipe=RECIPE), b"faces")
    assert pictures == (b"annotated", b"crop")
    assert reply.sizes_of(len(b"annotatedcrop")) == tuple(map(len, pictures))
    assert (reply.kind, reply.status, reply.size) == ("done", Status.FACES, 5)
    assert (reply.width, reply.height, reply.format) == (20, 10, "PNG")
    assert len(reply.faces) == 1
    assert reply.steps_ms["detect"] == 5
    assert reply.total_ms > 0


def handed(config: Config, file: Path, version: str = "") -> Reply:
    """What is answered of an open file; it is closed afterwards, come what may."""
    descriptor = os.open(file, os.O_RDONLY)
    request = Request(recipe=RECIPE, handed=True, version=version)
    reply, _ = Worker(config).answer(request, b"", descriptor)
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(descriptor)
    return reply


def test_a_picture_that_is_handed_over_is_read_here_and_closed(
    config: Config, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"damaged truncated")
    reply = handed(config, tmp_path / "a")
    assert (reply.status, reply.reason, reply.size) == (Status.FAILED, "truncated", 17)
    assert reply.code == Reason.DAMAGED
    assert "open" in reply.steps_ms


def test_a_picture_is_held_to_the_limits_that_the_parent_tells(config: Config) -> None:
    told = config.model_copy(update={"max_pixels": 7, "pages_seconds": 12.5})
    reply, _ = Worker(told).answer(Request(recipe=RECIPE), b"limits")
    assert reply.reason == repr(Limits(max_pixels=7, pages_seconds=12.5))


def test_what_is_found_in_a_document_survives_the_pipe(config: Config) -> None:
    real = {"load": "services.detector.models:load", "process": "services.detector.picture:process"}
    haar = recipe(mode="solid", crops=True)
    worker = Worker(config.model_copy(update={**real, "model": "haar"}))
    document = animated("TIFF", [Image.new("RGB", (512, 400)), astronaut()])
    reply, pictures = worker.answer(Request(recipe=haar), document)
    pipe = io.BytesIO()
    write_frame(pipe, reply, pictures)
    pipe.seek(0)
    assert read_frame(pipe, Reply) == (reply, b"".join(pictures))
    assert (reply.media, reply.pages, reply.annotated_page) == (Kind.DOCUMENT, 2, 2)
    assert [page.n for page in reply.searched] == [1, 2]
    assert {face.page for face in reply.faces} == {2}
    assert len(pictures) == 1 + len(reply.faces)


def test_a_file_that_changed_since_it_was_opened_is_a_failed_picture(
    config: Config, tmp_path: Path
) -> None:
    (tmp_path / "a").write_bytes(b"ok")
    reply = handed(config, tmp_path / "a", "2-1")
    assert (reply.kind, reply.status, reply.code) == ("done", Status.FAILED, Reason.CHANGED)


def test_a_file_that_cannot_be_read_is_worth_another_attempt(
    config: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise OSError(errno.EIO, "x")

    (tmp_path / "a").write_bytes(b"ok")
    monkeypatch.setattr(os, "lseek", broken)
    reply = handed(config, tmp_path / "a")
    assert (reply.kind, reply.code) == ("retry", Reason.UNREADABLE)
    assert reply.reason == f"the file cannot be read: {os.strerror(errno.EIO)}"


def test_another_model_than_the_services_own_is_loaded_when_asked_for(config: Config) -> None:
    haar = Recipe(model="haar", model_version=MODELS["haar"].version)
    reply, _ = Worker(config).answer(Request(recipe=haar), b"ok")
    assert reply.kind == "done"


def test_a_model_whose_weights_are_elsewhere_names_the_command(config: Config) -> None:
    recipe = Recipe(model="centerface", model_version=MODELS["centerface"].version)
    reply, _ = Worker(config).answer(Request(recipe=recipe), b"ok")
    assert reply.kind == "retry"
    assert "faces models pull centerface" in reply.reason
    assert reply.code == Reason.NO_MODEL


@pytest.mark.parametrize(
    ("model", "reason"), [("yunet", "knows version"), ("retina", "does not know this model")]
)
def test_a_model_of_another_version_is_left_to_other_detectors(
    model: str, reason: str, config: Config
) -> None:
    recipe = Recipe(model=model, model_version="0000")
    reply, _ = Worker(config).answer(Request(recipe=recipe), b"ok")
    assert reply.kind == "retry"
    assert f"model {model} version 0000 is asked for" in reply.reason
    assert reason in reply.reason


def test_only_the_models_used_last_are_kept(
    config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    worker = Worker(config)
    monkeypatch.setattr(worker, "_load", lambda name, _: loaded.append(name))
    for name in ("haar", "yunet", "other", "yunet", "haar"):
        worker._model(name)
    assert MODELS_KEPT == 2
    assert loaded == ["haar", "other", "haar"]


@pytest.mark.parametrize(
    "text", ["std::bad_alloc", "[ONNXRuntimeError] Failed to allocate memory for requested buffer"]
)
def test_a_library_that_lacks_memory_is_understood(text: str, config: Config) -> None:
    reply, _ = Worker(config).answer(Request(recipe=RECIPE), b"fail " + text.encode())
    assert (reply.kind, reply.code) == ("memory", Reason.MEMORY)
