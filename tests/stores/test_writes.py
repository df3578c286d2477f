"""Writing objects into a store that refuses, is silent, or has lost its volume."""

import asyncio
import os
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from shared.errors import Unreachable
from shared.stores import mounts, patience, writes
from shared.stores.objects import ObjectRefused, Objects
from shared.stores.writes import PROBE
from tests.support.s3_stub import Refusal, S3Stub, s3_stub

REFUSALS: list[Refusal] = [
    (400, "ExpiredToken"),
    (403, "AccessDenied"),
    (403, ""),
    (403, "RequestTimeTooSkewed"),
    (404, "NoSuchBucket"),
    (301, "PermanentRedirect"),
    (400, "NobodyHasSeenThisCode"),
    (500, "InternalError"),
    (503, "SlowDown"),
]


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Stub]:
    """An S3 with one bucket, `b`, that programs here find."""
    with s3_stub() as stub:
        stub.buckets["b"] = {}
        for name, value in stub.environment.items():
            monkeypatch.setenv(name, value)
        yield stub


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(patience, "SIGN_SECONDS", 0.5)


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_bucket_that_refuses_all_is_waited_for_until_it_takes_again(
    stub: S3Stub, refusal: Refusal
) -> None:
    objects = Objects.open("s3://b/pictures")
    await objects.put("r/before.jpg", b"x")
    stub.refuse = lambda *_: refusal
    for _ in range(2):
        with pytest.raises(Unreachable):
            await objects.put("r/1.jpg", b"x")
    stub.mend()
    await objects.put("r/1.jpg", b"x")
    assert stub.buckets["b"].keys() == {"pictures/r/before.jpg", "pictures/r/1.jpg"}


@pytest.mark.parametrize("refusal", [(403, "AccessDenied"), (400, "KeyTooLongError"), (500, "")])
async def test_one_object_that_is_refused_alone_is_to_blame(stub: S3Stub, refusal: Refusal) -> None:
    objects = Objects.open("s3://b")
    stub.refuse = lambda method, _, key: refusal if key == "r/bad.jpg" else None
    with pytest.raises(ObjectRefused, match=str(refusal[0])):
        await objects.put("r/bad.jpg", b"x")
    await objects.put("r/good.jpg", b"x")
    assert stub.buckets["b"].keys() == {"r/good.jpg"}, "the probe is gone"


async def test_what_an_outage_refused_that_has_ended_by_now_is_not_to_blame(stub: S3Stub) -> None:
    objects = Objects.open("s3://b")
    refused: list[str] = []

    def once(method: str, _: str, key: str) -> Refusal | None:
        if method != "PUT" or refused:
            return None
        refused.append(key)
        return 403, "AccessDenied"

    stub.refuse = once
    await objects.put("r/1.jpg", b"x")
    assert refused == ["r/1.jpg"]
    assert stub.buckets["b"].keys() == {"r/1.jpg"}


async def test_a_silent_bucket_is_known_to_be_and_sent_nothing_until_it_answers(
    stub: S3Stub, impatient: None
) -> None:
    objects = Objects.open("s3://b")
    stub.silent.add("b")
    for _ in range(3):
        with pytest.raises(Unreachable, match="does not answer"):
            await objects.put("r/1.jpg", b"x" * 100_000)
    assert sum(one.startswith("PUT") for one in stub.requests) == 1
    stub.mend()

    async def put() -> bool:
        try:
            await objects.put("r/1.jpg", b"x")
        except Unreachable:  # the question that was asked last may be open
            return False
        return True

    while not await put():
        pass
    assert stub.buckets["b"]["r/1.jpg"] == b"x"


async def test_a_slow_upload_passes_while_the_store_gives_signs_of_life(
    stub: S3Stub, impatient: None
) -> None:
    objects = Objects.open("s3://b")
    arriving = threading.Event()

    def slow(method: str, *_: str) -> Refusal | None:
        if method == "PUT":
            arriving.wait()
        return None

    stub.refuse = slow
    putting = asyncio.create_task(objects.put("r/1.jpg", b"x"))
    while sum(one.startswith("GET") for one in stub.requests) < 5:  # several limits have passed
        await asyncio.sleep(0.01)
        assert not putting.done()
    arriving.set()
    await putting
    assert stub.buckets["b"]["r/1.jpg"] == b"x"


async def test_a_check_reads_only_and_writes_only_where_reading_is_refused(
    stub: S3Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = Objects.open("s3://b")
    await objects.check()
    assert stub.requests == [f"GET b/{PROBE}"]
    stub.refuse = lambda method, *_: (403, "AccessDenied") if method == "GET" else None
    await objects.check()
    assert stub.requests.count(f"PUT b/{PROBE}") == 1
    monkeypatch.setattr(writes, "TAKEN_SECONDS", 0.0)
    await objects.check()
    assert stub.requests.count(f"PUT b/{PROBE}") == 1, "not each time"


@pytest.mark.parametrize("refusal", REFUSALS)
async def test_a_check_sees_a_bucket_that_refuses_all(stub: S3Stub, refusal: Refusal) -> None:
    objects = Objects.open("s3://b")
    stub.refuse = lambda *_: refusal
    with pytest.raises(Unreachable) as said:
        await objects.check()
    assert "s3://b" in str(said.value)
    stub.mend()
    await objects.check()


async def test_a_check_sees_at_once_that_a_bucket_began_to_refuse(
    stub: S3Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writes, "TAKEN_SECONDS", 0.0)
    objects = Objects.open("s3://b")
    await objects.put("r/1.jpg", b"x")
    await objects.check()
    stub.refuse = lambda *_: (403, "AccessDenied")
    with pytest.raises(Unreachable, match="403 Forbidden"):
        await objects.check()


async def test_one_object_of_which_a_server_always_says_not_now_is_refused_in_the_end(
    stub: S3Stub,
) -> None:
    objects = Objects.open("s3://b")
    stub.refuse = lambda _, __, key: (503, "SlowDown") if key == "r/bad.jpg" else None
    for _ in range(writes.NOT_NOW_TIMES):
        with pytest.raises(Unreachable, match="503"):
            await objects.put("r/bad.jpg", b"x")
    for _ in range(2):
        with pytest.raises(ObjectRefused, match="503"):
            await objects.put("r/bad.jpg", b"x")
    await objects.put("r/good.jpg", b"x")
    stub.mend()
    await objects.put("r/bad.jpg", b"x")


async def test_nothing_is_counted_while_a_server_says_not_now_to_all(stub: S3Stub) -> None:
    objects = Objects.open("s3://b")
    stub.refuse = lambda *_: (503, "SlowDown")
    for _ in range(2 * writes.NOT_NOW_TIMES):
        with pytest.raises(Unreachable):
            await objects.put("r/1.jpg", b"x")
    stub.mend()
    await objects.put("r/1.jpg", b"x")


async def test_a_check_sees_a_silent_bucket(stub: S3Stub, impatient: None) -> None:
    objects = Objects.open("s3://b")
    stub.silent.add("b")
    with pytest.raises(Unreachable, match="object store s3://b does not answer"):
        await objects.check()


async def test_a_file_in_the_place_of_the_folder_is_waited_for(tmp_path: Path) -> None:
    folder = tmp_path / "objects"
    objects = Objects.open(f"file://{folder}")
    shutil.rmtree(folder)
    folder.write_text("not a folder")
    for _ in range(2):
        with pytest.raises(Unreachable):
            await objects.put("r/1.jpg", b"x")
    with pytest.raises(Unreachable):
        await objects.check()
    folder.unlink()
    await objects.put("r/1.jpg", b"x")
    assert [path.name for path in folder.rglob("*.jpg")] == ["1.jpg"]


async def test_a_recipe_s_folder_that_takes_nothing_is_waited_for(tmp_path: Path) -> None:
    objects = Objects.open(f"file://{tmp_path}")
    (tmp_path / "recipe").write_text("not a folder")
    with pytest.raises(Unreachable, match="cannot be written to: Not a directory"):
        await objects.put("recipe/1.jpg", b"x")


async def test_a_volume_that_was_unmounted_takes_no_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    mounted = {tmp_path}
    monkeypatch.setattr(Path, "is_mount", lambda path: path in mounted)
    objects = Objects.open(f"file://{tmp_path}/objects")
    await objects.check()
    mounted.clear()
    with pytest.raises(Unreachable, match="is not mounted any more"):
        await objects.check()
    with pytest.raises(Unreachable, match="is not mounted any more"):
        await objects.put("r/1.jpg", b"x")
    mounted.add(tmp_path)
    await objects.put("r/1.jpg", b"x")
    assert os.listdir(tmp_path / "objects" / "r") == ["1.jpg"]


def test_a_folder_that_cannot_be_made_yet_is_waited_for_by_services(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(Unreachable, match=r"FACES_OBJECTS_URL.*Not a directory"):
        Objects.open_or_wait(f"file://{tmp_path}/file/objects")
    (tmp_path / "file").unlink()
    Objects.open_or_wait(f"file://{tmp_path}/file/objects")


def test_the_mount_point_of_a_folder_is_the_deepest_above_it() -> None:
    folder = mounts.MountedFolder(Path("/proc/self"))
    folder.see()
    with pytest.raises(Unreachable, match="is not there; is it mounted"):
        mounts.MountedFolder(Path("/nowhere/at all")).see()
