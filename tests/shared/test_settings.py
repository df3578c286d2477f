"""Settings: what follows from several of them, and what is refused at once."""

import os
from pathlib import Path

import pytest

from shared.contradictions import CONTRADICTIONS
from shared.errors import SettingsError
from shared.settings import PicturesBy, Settings

SECRET = "geheim"


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in os.environ:
        if name.startswith("FACES_"):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("objects_url", "pictures_by", "reaches_all"),
    [
        ("file:///objects", PicturesBy.WRITER, False),
        ("file:///objects", PicturesBy.DETECTOR, True),
        ("memory://", PicturesBy.WRITER, False),
        ("s3://bucket/folder", PicturesBy.WRITER, True),
        ("gs://bucket", PicturesBy.DETECTOR, True),
    ],
)
def test_all_services_reach_a_bucket_or_a_store_that_detectors_write_to(
    objects_url: str, pictures_by: PicturesBy, reaches_all: bool
) -> None:
    settings = Settings.load({"objects_url": objects_url, "pictures_by": pictures_by})
    assert settings.store_reaches_all is reaches_all


CANNOT_WORK = [
    ("LEASE_SECONDS", "0.0001", "greater than or equal to 1"),
    ("LEASE_SECONDS", "nan", "finite"),
    ("TASK_TIMEOUT_SECONDS", "inf", "finite"),
    ("TASK_TIMEOUT_SECONDS", "0.01", "greater than or equal to 1"),
    ("DRAIN_SECONDS", "nan", "finite"),
    ("DRAIN_SECONDS", "1e9", "less than or equal to 86400"),
    ("WRITER_LINGER_SECONDS", "-inf", "finite"),
    ("HIGH_WATER", str(1 << 60), "less than or equal to"),
    ("SLOT_MEMORY_BYTES", str(1 << 70), "less than or equal to"),
    ("SLOTS", "0", "greater than or equal to 1"),
    ("MAX_ATTEMPTS", "many", "valid integer"),
    ("HTTP_PORT", "65536", "less than or equal to 65535"),
    ("HTTP_HOST", "", "at least 1 character"),
    ("LOG_LEVEL", "loud", "pattern"),
    ("PREFIX", "a b", "pattern"),
    ("PREFIX", "a\n", "line break"),
    ("MODEL", "yonet", "choose one of yunet, centerface, haar"),
    ("MODELS_DIR", "models\n", "line break"),
    ("REDIS_URL", f"redis://:{SECRET}\n@host/0", "line break"),
    ("DATABASE_URL", f"postgresql://faces:{SECRET}@host/faces\n", "line break"),
    ("OBJECTS_URL", "file:///objects\n", "line break"),
    ("OBJECTS_URL", "s3://bucket/\x1bc", "line break or another control character"),
    ("OBJECTS_URL", "s3://", "such as s3://bucket/folder"),
    ("OBJECTS_URL", "s3:///folder", "such as s3://bucket/folder"),
    ("OBJECTS_URL", f"s3://key:{SECRET}@bucket", "AWS_ACCESS_KEY_ID"),
    ("OBJECTS_URL", "/objects", "file://FOLDER"),
    ("OBJECTS_URL", "ftp://host/objects", "file://FOLDER"),
    ("OBJECTS_URL", "file:///", "only for pictures"),
    ("OBJECTS_URL", "file:///objects/..", "only for pictures"),
    ("SOURCE_BUCKETS", "bucket", "such as s3://bucket/folder"),
    ("SOURCE_BUCKETS", "s3://one,s3:///two", "such as s3://bucket/folder"),
    ("SOURCE_BUCKETS", f"s3://key:{SECRET}@bucket", "AWS_ACCESS_KEY_ID"),
    ("SOURCE_ROOTS", "/pictures\n", "line break"),
    ("SOURCE_BUCKETS", "s3://bucket\n", "line break"),
    ("SOURCE_ROOTS", f"/:{__file__}", "is a file"),
]


@pytest.mark.parametrize(("name", "value", "told"), CANNOT_WORK)
def test_what_cannot_work_is_refused_in_one_line_that_names_it_without_its_secret(
    name: str, value: str, told: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"FACES_{name}", value)
    with pytest.raises(SettingsError) as refused:
        Settings.load()
    said = str(refused.value)
    assert said.startswith(f"FACES_{name}: ")
    assert told in said
    assert SECRET not in said
    assert said.isprintable()


CONTRADICTING = [
    {"INLINE_LIMIT_BYTES": "2000", "MAX_FILE_BYTES": "1000"},
    {"MAX_FILE_BYTES": str(1 << 29), "SLOT_MEMORY_BYTES": str(1 << 29)},
    {"MAX_PIXELS": str(1 << 28), "SLOT_MEMORY_BYTES": str(1 << 29)},
    {"MAX_DELIVERIES": "3", "MAX_ATTEMPTS": "4"},
]


@pytest.mark.parametrize("given", CONTRADICTING)
def test_settings_that_contradict_each_other_are_refused_and_all_named(
    given: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given.items():
        monkeypatch.setenv(f"FACES_{name}", value)
    with pytest.raises(SettingsError) as refused:
        Settings.load()
    said = str(refused.value)
    assert all(f"FACES_{name}" in said for name in given)
    assert said.isprintable()


def test_each_contradiction_has_its_example_above() -> None:
    assert len(CONTRADICTING) == len(CONTRADICTIONS)


def test_every_wrong_setting_is_told_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FACES_SLOTS", "many")
    monkeypatch.setenv("FACES_LEASE_SECONDS", "0")
    with pytest.raises(SettingsError, match=r"FACES_SLOTS: .*; FACES_LEASE_SECONDS: "):
        Settings.load()


def test_a_wrong_value_of_an_option_names_the_option_and_its_variable() -> None:
    flags = {"slots": "--slots", "objects_url": "--objects"}
    with pytest.raises(SettingsError, match=r"^--slots \(FACES_SLOTS\): "):
        Settings.load({"slots": 0}, flags)


def test_a_folder_that_is_not_there_yet_may_be_a_root(tmp_path: Path) -> None:
    roots = f"{tmp_path}/mounted-later:{tmp_path}"
    assert Settings.load({"source_roots": roots}).source_roots == (
        tmp_path / "mounted-later",
        tmp_path,
    )


def test_a_folder_of_any_name_may_be_given_by_a_program(tmp_path: Path) -> None:
    strange = tmp_path / "two\nlines"
    settings = Settings.load({"source_roots": (strange,), "objects_url": strange.as_uri()})
    assert settings.source_roots == (strange,)
