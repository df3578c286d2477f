"""Objects: whole or not at all, below their root, in a folder or a bucket; errors say why."""

import asyncio
import errno
import logging
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import obstore
import pytest
from moto.server import ThreadedMotoServer
from obstore.exceptions import GenericError
from obstore.store import ObjectStore

from shared.errors import FacesError, SettingsError, Unreachable
from shared.picture_keys import PictureKeys
from shared.stores.objects import ObjectRefused, Objects

SECRET = "not-to-be-seen-anywhere"


@pytest.fixture(scope="module")
def s3_server() -> Iterator[str]:
    """Endpoint of an S3 server over real HTTP."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def bucket_url(s3_server: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty bucket, and a prefix in it; found as any program finds it, by the environment."""
    for name, value in {
        "AWS_ENDPOINT_URL": s3_server,
        "AWS_ALLOW_HTTP": "true",
        "AWS_ACCESS_KEY_ID": "somebody",
        "AWS_SECRET_ACCESS_KEY": SECRET,
        "AWS_REGION": "us-east-1",
    }.items():
        monkeypatch.setenv(name, value)
    client = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    name = f"pictures-{os.urandom(4).hex()}"
    client.create_bucket(Bucket=name)
    client.close()
    return f"s3://{name}/some/prefix"


@pytest.fixture(params=["file", "s3", "memory"])
def objects(request: pytest.FixtureRequest, tmp_path: Path) -> Objects:
    """A store of each kind that can be had without an account."""
    if request.param == "memory":
        return Objects.open("memory://")
    if request.param == "file":
        return Objects.open(f"file://{tmp_path}/objects")
    return Objects.open(request.getfixturevalue("bucket_url"))


async def test_what_was_put_is_there_until_it_is_deleted(objects: Objects) -> None:
    await objects.put("recipe/1.jpg", b"first")
    await objects.put("recipe/1.jpg", b"second")
    await objects.put("recipe/1/crop-0.jpg", b"crop")

    assert await objects.get("recipe/1.jpg") == b"second"
    assert await objects.exists("recipe/1/crop-0.jpg")
    assert {found.key: found.size async for found in objects.list()} == {
        "recipe/1.jpg": 6,
        "recipe/1/crop-0.jpg": 4,
    }
    assert [found.key async for found in objects.list("recipe/1")] == ["recipe/1/crop-0.jpg"]
    await objects.delete("recipe/1.jpg")
    await objects.delete_all(["recipe/1.jpg", "recipe/1/crop-0.jpg"])
    assert await objects.get("recipe/1.jpg") is None
    assert not await objects.exists("recipe/1.jpg")


async def test_all_of_a_picture_is_found_and_nothing_of_another(objects: Objects) -> None:
    one, other = PictureKeys("recipe", "a" * 32), PictureKeys("recipe", "a" * 31 + "b")
    own = {one.annotated, *one.crops(2), f"{one.folder}-0.jpg", f"{one.folder}-1.jpg"}
    for key in (*own, other.annotated, *other.crops(1), f"{other.folder}-0.jpg"):
        await objects.put(key, b"picture")

    own |= set(one.all_annotated)  # in whatever format it was drawn
    assert await objects.keys_of(one) == own


async def test_an_empty_store_lists_nothing(objects: Objects) -> None:
    assert [found async for found in objects.list()] == []


@pytest.mark.parametrize(
    "key",
    [
        *("../x", "a/../../x", "/etc/passwd", "a//b", "a/./b", "", ".", "a/"),
        *("ü.jpg", "a\nb", "a%2e/b", "x" * 301),
    ],
)
async def test_no_key_leads_out_of_the_store(tmp_path: Path, key: str) -> None:
    objects = Objects.open(f"file://{tmp_path}/objects")

    with pytest.raises(ValueError, match="not the key"):
        await objects.put(key, b"x")
    with pytest.raises(ValueError, match="not the key"):
        objects.uri(key)

    assert [path.name for path in tmp_path.rglob("*")] == ["objects"]


async def test_a_relative_folder_is_of_the_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    objects = Objects.open("file://./my objects")

    await objects.put("r/1.jpg", b"x")

    assert (tmp_path / "my objects" / "r" / "1.jpg").read_bytes() == b"x"
    assert objects.uri("r/1.jpg") == f"file://{tmp_path}/my%20objects/r/1.jpg"


async def test_a_bucket_s_uris_name_the_bucket_and_its_pictures_open_in_a_browser(
    bucket_url: str, s3_server: str
) -> None:
    objects = Objects.open(bucket_url)

    await objects.put("r/1.jpg", b"x")

    assert objects.uri("r/1.jpg") == f"{bucket_url}/r/1.jpg"
    client = boto3.client("s3", endpoint_url=s3_server, region_name="us-east-1")
    bucket = bucket_url.split("/")[2]
    head = client.head_object(Bucket=bucket, Key="some/prefix/r/1.jpg")
    assert head["ContentType"] == "image/jpeg"
    client.close()


@pytest.mark.parametrize("url", ["", "objects", "ftp://host/x", "http://host/x", "az://"])
def test_a_url_that_cannot_be_used_names_the_setting(url: str) -> None:
    with pytest.raises(SettingsError, match="FACES_OBJECTS_URL"):
        Objects.open(url)


def test_a_folder_that_cannot_be_made_names_the_setting(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(SettingsError, match=r"FACES_OBJECTS_URL.*Not a directory"):
        Objects.open(f"file://{tmp_path}/file/objects")


async def test_a_store_that_is_away_is_waited_for(
    bucket_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    objects = Objects.open(bucket_url)

    with pytest.raises(Unreachable) as caught:
        await objects.put("r/1.jpg", b"x")

    assert SECRET not in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_bucket_that_is_not_there_is_waited_for(bucket_url: str) -> None:
    objects = Objects.open(bucket_url.replace("pictures", "missing"))

    with pytest.raises(Unreachable, match=r"404 Not Found \(NoSuchBucket\)"):
        await objects.put("r/1.jpg", b"x")
    with pytest.raises(Unreachable, match="NoSuchBucket"):
        await objects.get("r/1.jpg")


async def test_a_key_that_the_folder_cannot_hold_is_refused_with_the_reason(
    tmp_path: Path,
) -> None:
    objects = Objects.open(f"file://{tmp_path}/objects")
    await objects.put("r/1.jpg", b"x")

    with pytest.raises(ObjectRefused, match=r"cannot write r/1.jpg/2.jpg: Not a directory"):
        await objects.put("r/1.jpg/2.jpg", b"x")


@pytest.mark.parametrize(
    ("said", "error"),
    [
        ("Unable to copy data: No space left on device (os error 28)", Unreachable),
        ("Unable to copy data: Input/output error (os error 5)", Unreachable),
        ("Unable to open file: Read-only file system (os error 30)", Unreachable),
        ("Unable to open file: Permission denied (os error 13)", ObjectRefused),
        ("Server returned non-2xx status code: 503 Slow Down", Unreachable),
        (
            "Server returned non-2xx status code: 403 Forbidden: <Code>AccessDenied</Code>",
            ObjectRefused,
        ),
        ("HTTP error: error sending request", Unreachable),
        ("something that nobody has seen before", ObjectRefused),
    ],
)
async def test_what_may_pass_is_waited_for_and_what_is_refused_has_its_reason(
    monkeypatch: pytest.MonkeyPatch, said: str, error: type[FacesError]
) -> None:
    put = obstore.put_async

    async def fail(store: ObjectStore, key: str, content: bytes, **options: Any) -> None:
        if key != "r/1.jpg":  # of all others nothing is refused
            await put(store, key, content, **options)
            return
        raise GenericError(
            f"Generic error: PUT http://host/?sig={SECRET}: {said}\n\nDebug: {SECRET}"
        )

    monkeypatch.setattr("obstore.put_async", fail)

    with pytest.raises(error) as caught:
        await Objects.open("memory://").put("r/1.jpg", b"x")

    assert isinstance(caught.value, error)
    assert SECRET not in str(caught.value)


async def test_an_unfinished_file_is_no_object(tmp_path: Path) -> None:
    objects = Objects.open(f"file://{tmp_path}")
    (tmp_path / "r").mkdir()
    (tmp_path / "r" / "1.jpg#123").write_bytes(b"a child was killed here")
    await objects.put("r/1.jpg", b"whole")
    assert [found.key async for found in objects.list()] == ["r/1.jpg"]


async def test_a_write_that_is_cut_off_leaves_no_half_object(tmp_path: Path) -> None:
    program = (
        "import asyncio, resource, signal, sys\n"
        "from shared.stores.objects import Objects\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try: asyncio.run(Objects.open(sys.argv[1]).put('r/1.jpg', b'x' * 5000))\n"
        "except Exception as error: print(type(error).__name__, error)\n"
    )

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", program, f"file://{tmp_path}", stdout=asyncio.subprocess.PIPE
    )
    output, _ = await process.communicate()

    assert b"ObjectRefused" in output, output
    assert os.strerror(errno.EFBIG).encode() in output
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []
