"""References: which kind a URI is of, and what an allow-list covers."""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.detector.fetching import Fetching
from services.detector.references import OPENERS
from services.detector.roots import Roots
from services.ingest.sources.registry import BY_REFERENCE
from shared.references import (
    BUCKETS,
    FILES,
    SCHEMES,
    Scheme,
    allowed_by,
    is_allowed,
    reference_to,
    scheme_of,
    unknown,
)
from shared.settings import Settings
from shared.stores.mounts import folders_of
from shared.urls import below, bucket_of, file_path, file_uri, object_uri


@pytest.mark.parametrize(
    ("uri", "scheme"),
    [
        ("file:///a.jpg", FILES),
        ("FILE:///a.jpg", FILES),
        ("s3://bucket/a.jpg", BUCKETS),
        ("abfss://bucket/a.jpg", BUCKETS),
        ("https://example.org/a.jpg", None),
        ("/a.jpg", None),
        ("", None),
    ],
)
def test_a_uri_is_of_the_kind_that_its_scheme_names(uri: str, scheme: Scheme | None) -> None:
    assert scheme_of(uri) is scheme


def test_no_two_kinds_share_a_name_and_each_has_a_source_and_a_reader() -> None:
    names = [name for scheme in SCHEMES for name in scheme.names]
    assert len(names) == len(set(names))
    assert {source.scheme for source in BY_REFERENCE} == set(SCHEMES)
    assert {reads.scheme for reads in (Roots, Fetching)} == set(SCHEMES)
    assert OPENERS.keys() <= set(SCHEMES)
    assert len({scheme.kind for scheme in SCHEMES}) == len(SCHEMES)


def test_each_kind_names_the_setting_that_holds_its_allow_list(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv(FILES.setting, str(tmp_path))
    monkeypatch.setenv(BUCKETS.setting, "s3://bucket/folder/")
    settings = Settings.load()
    assert FILES.allow_list(settings) == (tmp_path.as_uri(),)
    assert BUCKETS.allow_list(settings) == ("s3://bucket/folder",)


def test_an_unknown_kind_is_told_which_are_known() -> None:
    assert unknown("ftp://host/a.jpg") == (
        "'ftp://host/a.jpg' cannot be read by reference: known are file:///, s3://, gs:// and az://"
    )


@pytest.mark.parametrize(
    ("uri", "allowed"),
    [
        ("file:///in", True),
        ("file:///in/a.jpg", True),
        ("file:///in-other/a.jpg", False),
        ("file:///", False),
        ("file:///out/a.jpg", False),
        ("s3://in/a.jpg", False),
    ],
)
def test_an_allow_list_covers_a_folder_and_what_is_below_it(uri: str, allowed: bool) -> None:
    assert is_allowed(uri, ["file:///elsewhere", "file:///in"]) is allowed
    assert not is_allowed(uri, [])


def test_the_root_folder_covers_every_file_and_no_bucket() -> None:
    assert is_allowed("file:///any/a.jpg", ["file:///"])
    assert not is_allowed("s3://any/a.jpg", ["file:///"])


PARTS = st.text(alphabet="a/b:.", max_size=12)


@given(PARTS, st.lists(PARTS, max_size=3))
def test_however_an_allow_list_is_asked_it_covers_what_lies_below_one_of_it(
    uri: str, allow_list: list[str]
) -> None:
    covering = [one for one in allow_list if below(uri, one)]
    found = allowed_by(uri, tuple(allow_list))
    assert is_allowed(uri, allow_list) is bool(covering)
    assert found in covering if covering else found is None


def test_of_two_that_cover_it_the_inner_one_is_told() -> None:
    assert allowed_by("file:///in/sub/a.jpg", ("file:///in", "file:///in/sub/")) == (
        "file:///in/sub/"
    )


def test_what_may_be_away_of_one_allowed_file_is_its_folder(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").touch()
    folder, file, gone = (
        file_uri(bytes(path)) for path in (tmp_path, tmp_path / "a.jpg", tmp_path / "gone")
    )
    assert folders_of([folder, file, gone]) == {folder: folder, file: folder, gone: gone}


def test_of_a_file_at_the_top_the_folder_that_may_be_away_is_the_root(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("os.path.isfile", lambda path: path == b"/a.jpg")
    found = folders_of(["file:///a.jpg", "file:///"])
    assert found == {"file:///a.jpg": "file:///", "file:///": "file:///"}


@given(st.binary(max_size=50).filter(lambda path: b"\0" not in path))
def test_a_path_of_any_bytes_comes_back_from_its_uri(name: bytes) -> None:
    assert file_path(file_uri(b"/" + name)) == b"/" + name


@given(st.text(min_size=1, max_size=30).filter(lambda key: key == key.strip("/")))
def test_a_key_of_any_characters_comes_back_from_its_uri(key: str) -> None:
    assert bucket_of(object_uri("s3://bucket", key)) == ("s3://bucket", key)


@pytest.mark.parametrize("uri", ["file://host/a.jpg", "file:a.jpg", "/a.jpg", "FILE:///a.jpg"])
def test_what_is_no_file_uri_has_no_path(uri: str) -> None:
    with pytest.raises(ValueError, match="is not a file:/// URI"):
        file_path(uri)


@pytest.mark.parametrize("uri", ["file:///a%00b", "file:///a\0b"])
def test_a_path_has_no_nul_byte(uri: str) -> None:
    with pytest.raises(ValueError, match="NUL"):
        file_path(uri)


def test_what_a_person_names_is_a_uri_or_a_path_that_is_not_normalised(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    assert reference_to("s3://bucket/a") == "s3://bucket/a"
    assert reference_to("link/../a b") == tmp_path.as_uri() + "/link/../a%20b"
    assert reference_to(os.fsdecode(b"/caf\xe9")) == "file:///caf%E9"
