"""Submitting a bucket: its pictures are read here and sent along, like those of a folder."""

import io
import os
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from services.cli.sending.buckets import READ_AHEAD, bucket_pictures
from services.cli.sending.largest import Largest
from services.cli.sending.reading import pictures
from shared.errors import SettingsError, Unreachable
from shared.folders.patterns import EVERYTHING, Choice
from shared.urls import is_bucket
from tests.support.s3_stub import s3_stub

LIMIT = Largest(1000)


def put(s3: Any, bucket: str, *names: str, size: int = 10) -> None:
    for name in names:
        s3.put_object(Bucket=bucket, Key=name, Body=io.BytesIO(name.encode().ljust(size)))


def refuse_none(line: str) -> None:
    raise AssertionError(line)


def test_pictures_below_a_folder_come_with_their_names_and_nothing_else(
    s3: Any, bucket: str
) -> None:
    put(s3, bucket, "in/a.jpg", "in/deep er/ü.PNG", "in/notes.txt", "in/.hidden.jpg", "other/b.jpg")
    found = dict(bucket_pictures(f"s3://{bucket}/in", LIMIT, refuse_none, not_read=Counter()))
    assert set(found) == {"a.jpg", "deep er/ü.PNG"}
    assert found["a.jpg"] == b"in/a.jpg".ljust(10)


def test_many_pictures_all_come_once(s3: Any, bucket: str) -> None:
    names = [f"{number:04}.jpg" for number in range(5 * READ_AHEAD + 3)]
    put(s3, bucket, *names)
    found = [
        name
        for name, _ in bucket_pictures(f"s3://{bucket}", LIMIT, refuse_none, not_read=Counter())
    ]
    assert sorted(found) == names


def test_a_picture_named_outright_is_taken_alone(s3: Any, bucket: str) -> None:
    put(s3, bucket, "in/a.jpg", "in/b.jpg")
    found = list(bucket_pictures(f"s3://{bucket}/in/b.jpg", LIMIT, refuse_none, not_read=Counter()))
    assert found == [("b.jpg", b"in/b.jpg".ljust(10))]


def test_a_picture_that_is_too_large_is_told_and_the_rest_come(s3: Any, bucket: str) -> None:
    put(s3, bucket, "small.jpg")
    put(s3, bucket, "large.jpg", size=LIMIT.size + 1)
    told: list[str] = []
    found = [
        name
        for name, _ in bucket_pictures(f"s3://{bucket}", LIMIT, told.append, not_read=Counter())
    ]
    assert found == ["small.jpg"]
    assert told == ["large.jpg: 1,001 bytes, and FACES_INLINE_LIMIT_BYTES allows 1,000"]


def test_a_picture_that_goes_away_meanwhile_is_told_and_the_rest_come(s3: Any, bucket: str) -> None:
    put(s3, bucket, *(f"{number:03}.jpg" for number in range(3 * READ_AHEAD)))
    told: list[str] = []
    found = bucket_pictures(f"s3://{bucket}", LIMIT, told.append, not_read=Counter())
    first = next(found)[0]
    last = f"{3 * READ_AHEAD - 1:03}.jpg"
    s3.delete_object(Bucket=bucket, Key=last)
    rest = [name for name, _ in found]
    assert len({first, *rest}) == 3 * READ_AHEAD - 1
    assert len(told) == 1 and told[0].startswith(f"{last}: cannot be read:")


def test_a_bucket_that_is_not_there_is_one_line_without_credentials(s3: Any) -> None:
    with pytest.raises(Unreachable, match="s3://nowhere-at-all cannot be listed") as caught:
        list(bucket_pictures("s3://nowhere-at-all", LIMIT, refuse_none, not_read=Counter()))
    assert "not-to-be-seen" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_credentials_in_the_url_are_refused_and_not_shown() -> None:
    with pytest.raises(SettingsError, match="AWS_ACCESS_KEY_ID") as caught:
        list(bucket_pictures("s3://me:secret@bucket/x", LIMIT, refuse_none, not_read=Counter()))
    assert "secret@" not in str(caught.value)


def test_a_bucket_that_refuses_from_some_picture_on_ends_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with s3_stub() as stub:
        for name, value in stub.environment.items():
            monkeypatch.setenv(name, value)
        stub.buckets["b"] = {f"in/{number:03}.jpg": b"x" for number in range(5 * READ_AHEAD)}
        found = bucket_pictures("s3://b/in", LIMIT, refuse_none, not_read=Counter())
        next(found)
        stub.refuse = lambda *_: (400, "ExpiredToken")
        with pytest.raises(Unreachable, match=r"400 Bad Request \(ExpiredToken\)"):
            list(found)


def test_a_key_that_cannot_be_named_is_told_and_the_rest_come(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[str] = []
    with s3_stub() as stub:
        for name, value in stub.environment.items():
            monkeypatch.setenv(name, value)
        stub.buckets["b"] = dict.fromkeys(["in/a.jpg", "in/m//b.jpg", "in/z.jpg"], b"x")
        found = [
            name for name, _ in bucket_pictures("s3://b/in", LIMIT, told.append, not_read=Counter())
        ]
    assert found == ["a.jpg", "z.jpg"]
    assert len(told) == 1 and told[0].startswith("'in/m//b.jpg' cannot be read")


def test_buckets_and_folders_can_be_mixed(s3: Any, bucket: str, tmp_path: Any) -> None:
    put(s3, bucket, "b.jpg")
    (tmp_path / "f.jpg").write_bytes(b"here")
    sources = [os.fsencode(tmp_path), f"s3://{bucket}".encode()]
    assert [
        name
        for name, _ in pictures(sources, LIMIT, refuse_none, EVERYTHING, refuse_none, Counter())
    ] == [
        "f.jpg",
        "b.jpg",
    ]


def test_only_urls_of_object_stores_are_buckets() -> None:
    assert is_bucket("s3://a/b") and is_bucket("gs://a") and is_bucket("az://a/c")
    assert not any(map(is_bucket, ("folder", "/s3://x", "file:///x", "https://x/y.jpg")))


def test_folders_are_passed_over_by_the_rules_of_folders_and_told(s3: Any, bucket: str) -> None:
    put(s3, bucket, "in/@eaDir/t.jpg", "in/@eaDir/u.jpg", "in/a.jpg", "in/raw/b.jpg", "in/c.mp4")
    told: list[str] = []
    not_read: Counter[str] = Counter()
    source, choice = f"s3://{bucket}/in", Choice(exclude=["raw/"])
    found = pictures([source.encode()], LIMIT, refuse_none, choice, told.append, not_read)
    assert [name for name, _ in found] == ["a.jpg"]
    assert told == [
        f"{source}: passed over: 1 excluded by a pattern; by rule: folders of thumbnails "
        "of a NAS or a camera 1 (@eaDir/); --include NAME/ searches one"
    ]
    assert not_read == {"not read: a video (.mp4)": 1}


def test_links_to_folders_are_told(tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "album").mkdir()
    (tmp_path / "in" / "link").symlink_to(tmp_path / "album")
    told: list[str] = []
    source = os.fsencode(tmp_path / "in")
    assert not list(pictures([source], LIMIT, refuse_none, EVERYTHING, told.append, Counter()))
    (line,) = told
    assert "not followed: 1 link to folders (link/); name what they lead to as well" in line
