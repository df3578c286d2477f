"""What measurements work on: which model and pictures are chosen, and what is said without them."""

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from bench import material
from bench.material import chosen_pictures, chosen_weights, fixed_yunet, labelled_folder
from shared.model_table import MODELS


@pytest.fixture(autouse=True)
def nothing_beside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a fresh clone."""
    monkeypatch.setattr(material, "BESIDE", tmp_path / "shared")
    monkeypatch.setattr(material, "OWN_MODELS", tmp_path / "models")
    for variable in ("FACES_MODEL", "FACES_MODELS_DIR"):
        monkeypatch.delenv(variable, raising=False)


CONTENT = b"weights"


def weights_of(model: str, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / MODELS[model].file).write_bytes(CONTENT)


@pytest.fixture
def whole(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `weights_of` writes has the right checksum."""
    for name in ("yunet", "centerface"):
        entry = replace(MODELS[name], sha256=hashlib.sha256(CONTENT).hexdigest())
        monkeypatch.setitem(MODELS, name, entry)


@pytest.mark.usefixtures("whole")
def test_the_best_model_is_taken_wherever_it_is(tmp_path: Path) -> None:
    weights_of("centerface", tmp_path / "models")
    assert chosen_weights(None) == material.Weights("centerface", tmp_path / "models")
    weights_of("yunet", tmp_path / "shared" / "models")
    assert chosen_weights(None) == material.Weights("yunet", tmp_path / "shared" / "models")


@pytest.mark.usefixtures("whole")
def test_a_folder_that_is_named_is_the_only_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    weights_of("yunet", tmp_path / "models")
    weights_of("centerface", tmp_path / "mine")
    assert chosen_weights(tmp_path / "mine").model == "centerface"
    monkeypatch.setenv("FACES_MODELS_DIR", str(tmp_path / "mine"))
    assert chosen_weights(None).model == "centerface"


def test_without_a_model_it_is_said_how_to_get_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match=r"a face model is needed.*`make demo`"):
        chosen_weights(None)
    monkeypatch.setenv("FACES_MODEL", "yunet")
    with pytest.raises(SystemExit, match="model yunet is needed"):
        chosen_weights(None)
    monkeypatch.setenv("FACES_MODEL", "yonet")
    with pytest.raises(SystemExit, match="FACES_MODEL=yonet: choose one of yunet"):
        chosen_weights(None)


def test_damaged_weights_are_refused_before_anything_starts(tmp_path: Path) -> None:
    weights_of("yunet", tmp_path / "models")
    with pytest.raises(SystemExit, match="damaged"):
        chosen_weights(None)


def test_without_a_folder_samples_are_made_that_can_all_be_read(tmp_path: Path) -> None:
    pictures = chosen_pictures(None, 10_000, tmp_path / "scratch")
    assert len(pictures) > 30
    assert all(path.is_file() and path.parent.name != "broken" for path in pictures)


def test_pictures_are_found_in_folders_below_and_taken_evenly(tmp_path: Path) -> None:
    for name in ("a/1.jpg", "a/2.JPG", "b/c/3.png", "b/c/4.webp", "b/notes.txt"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_bytes(b"")
    found = chosen_pictures(tmp_path / "in", 10, tmp_path)
    assert [path.name for path in found] == ["1.jpg", "2.JPG", "3.png", "4.webp"]
    found = chosen_pictures(tmp_path / "in", 2, tmp_path)
    assert [path.name for path in found] == ["1.jpg", "3.png"]


def test_a_folder_in_the_home_may_be_named_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    (tmp_path / "Pictures").mkdir()
    (tmp_path / "Pictures" / "a.jpg").write_bytes(b"")
    assert chosen_pictures(Path("~/Pictures"), 10, tmp_path) == [tmp_path / "Pictures" / "a.jpg"]


def test_a_folder_without_pictures_is_named(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match=r"absent: no such folder.*--images"):
        chosen_pictures(tmp_path / "absent", 10, tmp_path)
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match=r"empty: no \.jpg"):
        chosen_pictures(tmp_path / "empty", 10, tmp_path)


def test_what_only_others_have_is_absent(tmp_path: Path) -> None:
    assert fixed_yunet(None) is None
    assert labelled_folder(None, "wider-val-100") is None
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / material.FIXED_YUNET).write_bytes(b"")
    assert fixed_yunet(None) == tmp_path / "models" / material.FIXED_YUNET
