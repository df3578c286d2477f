"""Reading a file behind a descriptor: whole, unchanged, and from its beginning."""

import errno
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.detector.failures import PictureFailed, Refused, TryAgain
from services.detector.reading import read_whole
from shared.identity import file_version
from shared.reasons import Reason


@pytest.fixture
def file(tmp_path: Path) -> Path:
    written = tmp_path / "a"
    written.write_bytes(b"pixels")
    return written


@pytest.fixture
def descriptor(file: Path) -> Iterator[int]:
    opened = os.open(file, os.O_RDONLY)
    yield opened
    os.close(opened)


def test_a_file_is_read_from_its_beginning_wherever_another_has_left_it(descriptor: int) -> None:
    os.lseek(descriptor, 4, os.SEEK_SET)
    assert read_whole(descriptor, "", 1000) == b"pixels"
    assert read_whole(descriptor, "", 1000) == b"pixels"


def test_another_version_or_too_many_bytes_are_not_read(file: Path, descriptor: int) -> None:
    with pytest.raises(Refused, match=r"^changed_at_source: ") as refused:
        read_whole(descriptor, file_version(6, 1), 1000)
    assert refused.value.reason is Reason.CHANGED
    with pytest.raises(Refused, match="6 bytes; FACES_MAX_FILE_BYTES allows 5") as refused:
        read_whole(descriptor, "", 5)
    assert refused.value.reason is Reason.TOO_LARGE


@pytest.mark.parametrize("written", [b"pixels and more", b"pix", b"PIXELS"])
def test_a_file_that_changes_while_it_is_read_is_refused(
    written: bytes, file: Path, descriptor: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.fstat

    def fstat_then_change(descriptor: int) -> os.stat_result:
        found = real(descriptor)
        monkeypatch.undo()
        file.write_bytes(written)
        os.utime(file, ns=(1, 1))
        return found

    monkeypatch.setattr(os, "fstat", fstat_then_change)
    with pytest.raises(Refused, match=r"^changed_at_source: ") as refused:
        read_whole(descriptor, "", 1000)
    assert refused.value.reason is Reason.CHANGED


@pytest.mark.parametrize(
    ("number", "failure", "reason"),
    [
        (errno.EIO, TryAgain, Reason.UNREADABLE),
        (errno.ESTALE, TryAgain, Reason.UNREADABLE),
        (errno.EACCES, Refused, Reason.UNREADABLE),
        (errno.ENOENT, Refused, Reason.GONE),
    ],
)
def test_what_the_storage_answers_while_it_is_read_is_told(
    number: int,
    failure: type[PictureFailed],
    reason: Reason,
    descriptor: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def fail(*_: object) -> int:
        raise OSError(number, "x")

    monkeypatch.setattr(os, "lseek", fail)
    with pytest.raises(failure) as failed:
        read_whole(descriptor, "", 1000)
    assert failed.value.reason is reason
