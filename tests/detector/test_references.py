"""Opening a picture by reference: what is allowed, whole, and the version that was submitted."""

import errno
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from services.detector.failures import PictureFailed
from services.detector.reading import read_whole
from services.detector.references import Refused, Rules, TryAgain, open_reference
from shared.identity import file_version
from shared.reasons import Reason
from shared.references import FILES
from shared.urls import file_uri
from tests.support.processes import open_files


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "allowed"
    folder.mkdir()
    (tmp_path / "secret").write_bytes(b"secret")
    return folder


def uri_of(path: Path | bytes) -> str:
    return file_uri(os.fsencode(path))


@contextmanager
def refused(reason: Reason, match: str) -> Iterator[None]:
    """Expect a refusal with this code and such a sentence."""
    with pytest.raises(Refused, match=match) as caught:
        yield
    assert caught.value.reason is reason


def opened(path: Path | bytes, root: Path, version: str = "", limit: int = 1000) -> bytes:
    """The bytes of what is opened; nothing stays open."""
    before = open_files()
    try:
        file = open_reference(uri_of(path), version, Rules({FILES.kind: (uri_of(root),)}, limit))
        assert file.below == uri_of(root)
        assert not os.get_inheritable(file.descriptor)
        try:
            return read_whole(file.descriptor, version, limit)
        finally:
            os.close(file.descriptor)
    finally:
        assert open_files() == before


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
    with refused(Reason.NOT_ALLOWED, "outside of the folders that FACES_SOURCE_ROOTS allows"):
        opened(root / path, root)


def test_a_folder_that_only_begins_like_a_root_is_outside(root: Path) -> None:
    beside = root.parent / "allowed-not"
    beside.mkdir()
    (beside / "a").write_bytes(b"secret")
    with refused(Reason.NOT_ALLOWED, "outside"):
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
    with refused(Reason.NOT_ALLOWED, "set FACES_SOURCE_ROOTS"):
        open_reference(uri_of(root / "a"), "", Rules({}, 1000))


@pytest.mark.timeout(10)
@pytest.mark.parametrize("path_only", [True, False])
def test_a_pipe_a_device_and_a_folder_are_no_files_and_do_not_hang(
    path_only: bool, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if not path_only:  # as on systems other than Linux
        monkeypatch.delattr(os, "O_PATH", raising=False)
    os.mkfifo(root / "pipe")
    for path, below in ((root / "pipe", root), (Path("/dev/zero"), Path("/")), (root, root.parent)):
        with refused(Reason.NOT_A_FILE, "not a file"):
            opened(path, below)


def test_a_file_that_is_gone_is_named(root: Path) -> None:
    with refused(Reason.GONE, r"the file .*/gone.jpg is gone"):
        opened(root / "gone.jpg", root)


def test_the_version_submitted_is_the_version_read(root: Path) -> None:
    path = root / "a"
    path.write_bytes(b"pixels")
    version = version_of(path)
    assert opened(path, root, version) == b"pixels"
    os.utime(path, ns=(1, 1))
    with refused(Reason.CHANGED, r"^changed_at_source: "):
        opened(path, root, version)


def test_a_file_larger_than_the_limit_is_not_read(root: Path) -> None:
    with (root / "huge").open("wb") as file:
        file.truncate(1 << 40)
    with refused(Reason.TOO_LARGE, r"1,099,511,627,776 bytes; FACES_MAX_FILE_BYTES allows 1,000"):
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
    with refused(Reason.UNREADABLE, "cannot be read: permission denied"):
        opened(root / "a", root)


def test_links_in_a_circle_are_refused(root: Path) -> None:
    (root / "a").symlink_to("b")
    (root / "b").symlink_to("a")
    with refused(Reason.UNREADABLE, "circle"):
        opened(root / "a", root)


@pytest.mark.parametrize("name", ["gone.jpg", "forbidden.jpg", "broken.jpg"])
def test_what_cannot_be_read_says_below_which_folder(
    name: str, root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    errors = {"gone.jpg": errno.ENOENT, "forbidden.jpg": errno.EACCES, "broken.jpg": errno.EIO}

    def fail(*_: Any) -> int:
        raise OSError(errors[name], "x")

    monkeypatch.setattr(os, "open", fail)
    with pytest.raises(PictureFailed) as failed:
        opened(root / name, root)
    assert failed.value.below == uri_of(root)


@pytest.mark.parametrize(
    "uri",
    [
        "gopher://x/a",
        "s3://bucket/a",
        "file:a",
        "file://host/a",
        "file:///a%00b",
        "/etc/passwd",
        "file://",
        "file://[x/a",
    ],
)
def test_other_references_are_refused(uri: str) -> None:
    with pytest.raises(Refused) as refusal:
        open_reference(uri, "", Rules({FILES.kind: ("file:///",)}, 1000))
    assert refusal.value.reason in (Reason.NOT_ALLOWED, Reason.NOT_A_FILE)


def test_a_slot_has_no_library_that_speaks_to_a_network() -> None:
    told = (
        "import sys, services.detector.child\n"
        "print(sorted({'obstore', 'redis', 'sqlalchemy', 'httpx'} & set(sys.modules)))\n"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
