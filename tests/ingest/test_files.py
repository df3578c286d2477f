"""Folders of which files are named."""

import os
import threading
from pathlib import Path

import pytest

from services.ingest.sources import files
from services.ingest.sources.files import FileSource
from services.ingest.sources.source import SourceAway
from services.ingest.sources.walk import Walk
from shared.reasons import Reason
from shared.stores.mounts import MountedFolder
from shared.urls import file_uri
from tests.support.stages import source_at


async def test_what_is_back_by_the_time_its_folder_is_asked_is_looked_for_once_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "root").mkdir()
    picture = tmp_path / "root" / "a.jpg"
    real = MountedFolder.see

    def see(folder: MountedFolder) -> None:
        """It is mounted at the second look."""
        looks.append(folder)
        if len(looks) == 2:
            picture.write_bytes(b"x")
        real(folder)

    looks: list[MountedFolder] = []
    monkeypatch.setattr(MountedFolder, "see", see)
    root = file_uri(os.fsencode(tmp_path / "root"))
    listing = await FileSource([root]).step(source_at(f"{root}/a.jpg"))
    assert [image.name for image in listing.images] == ["a.jpg"]


async def test_what_is_looked_for_once_more_does_not_list_again_all_that_lies_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "STEP", 2)
    for n in range(20):
        (tmp_path / f"{n:02}").mkdir()
        (tmp_path / f"{n:02}" / "a.jpg").touch()
        (tmp_path / f"{n:02}" / "gone.jpg").symlink_to("nothing.jpg")
    listed: list[bytes] = []
    real = Walk._list

    def list_(walk: Walk, folder: bytes) -> list[bytes]:
        listed.append(folder)
        return real(walk, folder)

    monkeypatch.setattr(Walk, "_list", list_)
    root = file_uri(os.fsencode(tmp_path))
    source, message = FileSource([root]), source_at(root, follow_links=True)
    names: list[str] = []
    while True:
        listing = await source.step(message)
        names += [image.name for image in listing.images]
        if listing.next_position is None:
            break
        message = message.model_copy(update={"position": listing.next_position})
    assert names == [f"{n:02}/{name}" for n in range(20) for name in ("a.jpg", "gone.jpg")]
    most = max(listed.count(folder) for folder in set(listed) - {b""})
    assert most <= 4, "one look, one more, as the folder above, and as the last step ends"


async def test_a_folder_that_hangs_keeps_one_thread_however_often_it_is_tried(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.stores.patience.PATIENCE_SECONDS", 0.05)
    monkeypatch.setattr("shared.stores.patience.SIGN_SECONDS", 0.1)
    hang, hung = threading.Event(), set[int]()

    def hangs(*_: object) -> None:
        hung.add(threading.get_ident())
        hang.wait()

    monkeypatch.setattr(MountedFolder, "see", hangs)
    monkeypatch.setattr(FileSource, "_step", hangs)
    root = file_uri(os.fsencode(tmp_path))
    source = FileSource([root])
    for _ in range(5):
        with pytest.raises(SourceAway, match="does not answer"):
            await source.step(source_at(root))
    assert len(hung) == 1
    hang.set()


async def test_a_video_is_refused_by_its_name_and_a_picture_beside_it_is_not(
    tmp_path: Path,
) -> None:
    for name in ("a.jpg", "b.MOV", "c.svg", "d.cr2", "notes.txt"):
        (tmp_path / name).touch()
    root = file_uri(os.fsencode(tmp_path))
    listing = await FileSource([root]).step(source_at(root))
    told = {image.name: image.problem and image.problem.sentence for image in listing.images}
    assert told == {
        "a.jpg": None,
        "b.MOV": "not read: a video (.mov)",
        "c.svg": "not read: a drawing (.svg)",
        "d.cr2": None,
    }


async def test_a_video_that_was_given_by_itself_is_refused_by_its_name(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").touch()
    uri = file_uri(os.fsencode(tmp_path / "a.mp4"))
    listing = await FileSource([uri]).step(source_at(uri))
    assert [image.problem and image.problem.reason for image in listing.images] == [
        Reason.UNSUPPORTED
    ]
