"""What a child opens, and what it answers, without a process around it."""

import errno
import io
import os
import struct
from pathlib import Path
from typing import Any

import pytest

from services.detector.child import MODELS_KEPT, Worker
from services.detector.opening import Refused, Rules, TryAgain, open_reference
from services.detector.protocol import (
    Config,
    ProtocolError,
    Reply,
    Request,
    crop_keys,
    read_frame,
    write_frame,
)
from shared.errors import Unreachable
from shared.messages import Status, file_uri, file_version
from shared.model_table import MODELS
from shared.objects import ObjectRefused, Objects
from shared.recipe import Recipe

RECIPE = Recipe(model="yunet", model_version=MODELS["yunet"].version)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "allowed"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    return folder


def uri_of(path: Path | bytes) -> str:
    return file_uri(os.fsencode(path))


def opened(path: Path | bytes, root: Path, version: str = "", limit: int = 1000) -> bytes:
    return open_reference(uri_of(path), version, Rules((root,), limit))


def version_of(path: Path) -> str:
    stat = path.stat()
    return file_version(stat.st_size, stat.st_mtime_ns)


@pytest.mark.parametrize(
    "name",
    [b"a.jpg", b"a b'c\"d.jpg", b"new\nline", b"\xff\xfe.jpg", "größe%20.jpg".encode(), b"a#?;b"],
)
def test_a_file_of_any_name_is_read(name: bytes, root: Path) -> None:
    path = os.fsencode(root) + b"/" + name
    Path(os.fsdecode(path)).write_bytes(b"pixels")
    assert opened(path, root) == b"pixels"


def test_an_empty_file_is_read_as_nothing(root: Path) -> None:
    (root / "empty").touch()
    assert opened(root / "empty", root) == b""


def test_links_and_dots_that_stay_below_the_root_are_followed(root: Path) -> None:
    (root / "sub").mkdir()
    (root / "a").write_bytes(b"pixels")
    (root / "sub/link").symlink_to("../a")
    assert opened(root / "sub/link", root) == b"pixels"
    assert opened(root / "sub/../a", root) == b"pixels"


@pytest.mark.parametrize("path", ["../secret", "sub/../../secret", "link", "folder/secret"])
def test_nothing_outside_of_the_roots_is_read(path: str, root: Path) -> None:
    (root / "sub").mkdir()
    (root / "link").symlink_to(root.parent / "secret")
    (root / "folder").symlink_to(root.parent)
    with pytest.raises(Refused, match="outside of the folders that FACES_SOURCE_ROOTS allows"):
        opened(root / path, root)


def test_a_folder_that_only_begins_like_a_root_is_outside(root: Path) -> None:
    beside = root.parent / "allowed-not"
    beside.mkdir()
    (beside / "a").write_bytes(b"secret")
    with pytest.raises(Refused, match="outside"):
        opened(beside / "a", root)


def test_whether_a_file_outside_of_the_roots_exists_is_not_told(root: Path) -> None:
    reasons = set()
    for path in (root.parent / "secret", root.parent / "nothing", root / "../nothing"):
        with pytest.raises(Refused) as refused:
            opened(path, root)
        reasons.add(str(refused.value))
    assert len(reasons) == 1


def test_a_link_exchanged_after_the_opening_gains_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (root / "a").write_bytes(b"pixels")
    (root / "link").symlink_to("a")
    real_readlink = os.readlink

    def exchange_then_readlink(path: Any) -> Any:
        if (root / "link").is_symlink():
            (root / "link").unlink()
            (root / "link").symlink_to(root.parent / "secret")
        return real_readlink(path)

    monkeypatch.setattr(os, "readlink", exchange_then_readlink)
    assert opened(root / "link", root) == b"pixels"


def test_without_roots_nothing_is_read_and_the_setting_is_named(root: Path) -> None:
    (root / "a").write_bytes(b"pixels")
    with pytest.raises(Refused, match="set FACES_SOURCE_ROOTS"):
        open_reference(uri_of(root / "a"), "", Rules((), 1000))


@pytest.mark.timeout(10)
def test_a_pipe_a_device_and_a_folder_are_no_files_and_do_not_hang(root: Path) -> None:
    os.mkfifo(root / "pipe")
    for path, below in ((root / "pipe", root), (Path("/dev/zero"), Path("/")), (root, root.parent)):
        with pytest.raises(Refused, match="not a file"):
            opened(path, below)


def test_a_file_that_is_gone_is_named(root: Path) -> None:
    with pytest.raises(Refused, match=r"the file .*/gone.jpg is gone"):
        opened(root / "gone.jpg", root)


def test_the_version_submitted_is_the_version_read(root: Path) -> None:
    path = root / "a"
    path.write_bytes(b"pixels")
    version = version_of(path)
    assert opened(path, root, version) == b"pixels"
    os.utime(path, ns=(1, 1))
    with pytest.raises(Refused, match=r"^changed_at_source: "):
        opened(path, root, version)


@pytest.mark.parametrize("written", [b"pixels and more", b"pix"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    written: bytes, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = root / "a"
    path.write_bytes(b"pixels")
    version = version_of(path)
    real_fstat = os.fstat
    calls: list[int] = []

    def fstat_then_change(descriptor: int) -> os.stat_result:
        found = real_fstat(descriptor)
        calls.append(descriptor)
        if len(calls) == 2:  # the first asks what it is, the second which version
            path.write_bytes(written)
        return found

    monkeypatch.setattr(os, "fstat", fstat_then_change)
    with pytest.raises(Refused, match=r"^changed_at_source: "):
        opened(path, root, version)


def test_a_file_larger_than_the_limit_is_not_read(root: Path) -> None:
    with (root / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(
        Refused, match=r"1,099,511,627,776 bytes; FACES_MAX_FILE_BYTES allows 1,000"
    ):
        opened(root / "huge", root)


@pytest.mark.parametrize("number", [errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.EMFILE])
def test_a_storage_that_fails_is_worth_another_try(
    number: int, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> int:
        raise OSError(number, "x")

    monkeypatch.setattr(os, "open", broken)
    with pytest.raises(TryAgain, match=os.strerror(number)):
        opened(root / "a", root)


def test_a_file_without_permission_is_refused_for_that(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbidden(*_: Any) -> int:
        raise PermissionError(errno.EACCES, "x")

    monkeypatch.setattr(os, "open", forbidden)
    with pytest.raises(Refused, match="cannot be read: permission denied"):
        opened(root / "a", root)


def test_links_in_a_circle_are_refused(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with pytest.raises(Refused, match="circle"):
        opened(root / "a", root)


def test_a_root_that_is_not_mounted_is_waited_for(root: Path) -> None:
    with pytest.raises(Unreachable, match=r"FACES_SOURCE_ROOTS: .*unmounted is not there"):
        opened(root / "unmounted/a.jpg", root / "unmounted")


@pytest.mark.parametrize(
    "uri",
    [
        "gopher://x/a",
        "file:a",
        "file://host/a",
        "file:///a%00b",
        "/etc/passwd",
        "file://",
        "file://[x/a",
    ],
)
def test_other_references_are_refused(uri: str) -> None:
    with pytest.raises(Refused):
        open_reference(uri, "", Rules((Path("/"),), 1000))


@pytest.fixture
def config(tmp_path: Path) -> Config:
    return Config(
        model="yunet",
        models_dir=tmp_path,
        memory_bytes=1 << 30,
        max_pixels=1_000_000,
        max_file_bytes=1_000_000,
        source_roots=(tmp_path,),
        objects_url=f"file://{tmp_path}/objects",
        process="tests.poison:process",
        load="tests.poison:load",
    )


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
    request = Request(recipe=RECIPE, source_uri=uri_of(tmp_path / "a"), source_version="")
    reply, _ = Worker(config).answer(request, b"")
    assert (reply.status, reply.reason, reply.size) == (Status.FAILED, "truncated", 17)
    assert "open" in reply.steps_ms


def test_a_reference_that_cannot_be_had_is_a_failed_picture(config: Config) -> None:
    request = Request(recipe=RECIPE, source_uri="file:///etc/passwd")
    reply, _ = Worker(config).answer(request, b"")
    assert (reply.kind, reply.status) == ("done", Status.FAILED)
    assert "FACES_SOURCE_ROOTS" in reply.reason


def test_with_a_key_the_pictures_go_into_the_object_store(config: Config, tmp_path: Path) -> None:
    request = Request(recipe=RECIPE, object_key="yunet-1/abc.jpg")
    reply, pictures = Worker(config).answer(request, b"faces")
    assert pictures == ()
    assert (reply.annotated, reply.crops, reply.parts) == (True, 1, ())
    assert (tmp_path / "objects/yunet-1/abc.jpg").read_bytes() == b"annotated"
    [crop] = crop_keys("yunet-1/abc.jpg", 1)
    assert (tmp_path / "objects" / crop).read_bytes() == b"crop"


@pytest.mark.parametrize(
    ("error", "kind"), [(ObjectRefused("403"), "retry"), (Unreachable("disk full"), "away")]
)
def test_a_store_that_refuses_is_tried_again_and_one_that_is_away_waited_for(
    error: Exception, kind: str, config: Config, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any) -> None:
        raise error

    monkeypatch.setattr(Objects, "put_sync", refuse)
    reply, _ = Worker(config).answer(Request(recipe=RECIPE, object_key="a/b.jpg"), b"faces")
    assert (reply.kind, reply.reason) == (kind, str(error))


def test_another_model_than_the_services_own_is_loaded_when_asked_for(config: Config) -> None:
    haar = Recipe(model="haar", model_version=MODELS["haar"].version)
    reply, _ = Worker(config).answer(Request(recipe=haar), b"ok")
    assert reply.kind == "done"


def test_a_model_whose_weights_are_elsewhere_names_the_command(config: Config) -> None:
    recipe = Recipe(model="centerface", model_version=MODELS["centerface"].version)
    reply, _ = Worker(config).answer(Request(recipe=recipe), b"ok")
    assert reply.kind == "retry"
    assert "faces models pull centerface" in reply.reason


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
    assert reply.kind == "memory"


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
    ],
)
def test_what_is_no_frame_is_refused_before_it_takes_memory(sent: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_frame(io.BytesIO(sent), Reply)


def test_sizes_that_do_not_fit_the_payload_are_refused() -> None:
    with pytest.raises(ProtocolError):
        Reply(kind="done", parts=(1, 2)).split(b"12")
