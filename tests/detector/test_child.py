"""What a child answers, without a process around it."""

import io
import os
import struct
from pathlib import Path

import pytest
from PIL import Image

from services.detector.child import MODELS_KEPT, Worker
from services.detector.pipe import (
    Config,
    ProtocolError,
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
from shared.references import FILES
from shared.urls import file_uri
from tests.support.pictures import animated, astronaut, recipe
from tests.support.poison import poisoned

RECIPE = Recipe(model="yunet", model_version=MODELS["yunet"].version)


@pytest.fixture
def config(tmp_path: Path) -> Config:
    allowed = {FILES.kind: (tmp_path.as_uri(),)}
    return poisoned(tmp_path).model_copy(update={"allowed": allowed})


def test_an_answer_carries_what_was_found_and_the_pictures(config: Config) -> None:
    reply, pictures = Worker(config).answer(Request(recipe=RECIPE), b"faces")
    assert pictures == (b"annotated", b"crop")
    assert reply.split(b"annotatedcrop") == pictures
    assert (reply.kind, reply.status, reply.size) == ("done", Status.FACES, 5)
    assert (reply.width, reply.height, reply.format) == (20, 10, "PNG")
    assert len(reply.faces) == 1
    assert reply.steps_ms["detect"] == 5
    assert reply.total_ms > 0


def test_a_picture_by_reference_is_opened_here(config: Config, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"damaged truncated")
    request = Request(
        recipe=RECIPE, source_uri=file_uri(os.fsencode(tmp_path / "a")), source_version=""
    )
    reply, _ = Worker(config).answer(request, b"")
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


def test_a_reference_that_cannot_be_had_is_a_failed_picture(config: Config) -> None:
    request = Request(recipe=RECIPE, source_uri="file:///etc/passwd")
    reply, _ = Worker(config).answer(request, b"")
    assert (reply.kind, reply.status) == ("done", Status.FAILED)
    assert "FACES_SOURCE_ROOTS" in reply.reason
    assert reply.code == Reason.NOT_ALLOWED


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


def test_frames_survive_the_pipe_and_its_end_is_seen() -> None:
    pipe = io.BytesIO()
    reply = Reply(kind="done", reason="é", parts=(2, 1))
    write_frame(pipe, reply, (b"\0\xff", b"c"))
    pipe.seek(0)
    assert read_frame(pipe, Reply) == (reply, b"\0\xffc")
    assert read_frame(pipe, Reply) is None
    whole = pipe.getvalue()
    for cut in (1, 11, 13, len(whole) - 1):
        assert read_frame(io.BytesIO(whole[:cut]), Reply) is None


@pytest.mark.parametrize(
    "sent",
    [
        struct.pack(">IQ", 1 << 31, 0),
        struct.pack(">IQ", 2, 1 << 40) + b"{}",
        struct.pack(">IQ", 2, 0) + b"{}",
        struct.pack(">IQ", 15, 0) + b'{"kind":"eval"}',
        struct.pack(">IQ", 32, 0) + b'{"kind":"done","status":"faces"}',
        struct.pack(">IQ", 15, 0) + b'{"kind":"done"}',
    ],
)
def test_what_is_no_frame_is_refused_before_it_takes_memory(sent: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_frame(io.BytesIO(sent), Reply)


def test_sizes_that_do_not_fit_the_payload_are_refused() -> None:
    with pytest.raises(ProtocolError):
        Reply(kind="done", status=Status.NO_FACES, parts=(1, 2)).split(b"12")
