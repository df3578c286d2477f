"""A store in a folder where others may write too: its objects are never behind a link."""

import os
from pathlib import Path

import pytest

from shared.errors import Unreachable
from shared.folders.new_files import UNFINISHED
from shared.stores.objects import ObjectRefused, Objects


@pytest.fixture
def elsewhere(tmp_path: Path) -> Path:
    """A folder that has nothing to do with the store, with a file in it."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "1.jpg").write_text("precious")
    return folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The store's own."""
    return tmp_path / "objects"


def untouched(elsewhere: Path) -> bool:
    return {path.name: path.read_bytes() for path in elsewhere.iterdir()} == {"1.jpg": b"precious"}


async def test_a_recipes_folder_that_is_a_link_takes_nothing_and_is_waited_for_by_name(
    folder: Path, elsewhere: Path
) -> None:
    objects = Objects.open(folder.as_uri())
    (folder / "r").symlink_to(elsewhere)
    with pytest.raises(Unreachable, match="'r' is a symbolic link, which is not followed"):
        await objects.put("r/1.jpg", b"x")
    assert untouched(elsewhere)
    (folder / "r").unlink()
    await objects.put("r/1.jpg", b"x")
    assert await objects.get("r/1.jpg") == b"x"


async def test_one_pictures_folder_that_is_a_link_costs_that_picture_alone(
    folder: Path, elsewhere: Path
) -> None:
    objects = Objects.open(folder.as_uri())
    await objects.put("r/b/1.jpg", b"x")
    (folder / "r" / "a").symlink_to(elsewhere)
    with pytest.raises(ObjectRefused, match="'r/a' is a symbolic link"):
        await objects.put("r/a/1.jpg", b"x")
    await objects.put("r/b/2.jpg", b"x")
    assert untouched(elsewhere)


async def test_a_link_in_an_objects_place_is_replaced_and_not_written_through(
    folder: Path, elsewhere: Path
) -> None:
    objects = Objects.open(folder.as_uri())
    (folder / "r").mkdir()
    (folder / "r" / "1.jpg").symlink_to(elsewhere / "1.jpg")
    assert not await objects.exists("r/1.jpg")
    with pytest.raises(ObjectRefused, match="is a symbolic link"):
        await objects.get("r/1.jpg")
    await objects.put("r/1.jpg", b"x")
    assert (folder / "r" / "1.jpg").read_bytes() == b"x"
    assert not (folder / "r" / "1.jpg").is_symlink()
    assert untouched(elsewhere)


async def test_what_is_behind_a_link_is_neither_listed_nor_deleted(
    folder: Path, elsewhere: Path
) -> None:
    objects = Objects.open(folder.as_uri())
    await objects.put("r/1.jpg", b"x")
    (folder / "s").symlink_to(elsewhere)
    (folder / "r" / "2.jpg").symlink_to(elsewhere / "1.jpg")
    assert [found.key async for found in objects.list()] == ["r/1.jpg"]
    assert [found.key async for found in objects.list("absent")] == []
    await objects.delete("r/2.jpg")
    assert not (folder / "r" / "2.jpg").is_symlink()
    with pytest.raises(ObjectRefused, match="'s' is a symbolic link"):
        await objects.delete("s/1.jpg")
    assert untouched(elsewhere)


async def test_the_folder_itself_may_be_a_link_but_does_not_become_one(
    tmp_path: Path, folder: Path, elsewhere: Path
) -> None:
    (tmp_path / "real").mkdir()
    folder.symlink_to(tmp_path / "real")
    objects = Objects.open(folder.as_uri())
    await objects.put("r/1.jpg", b"x")
    assert (tmp_path / "real" / "r" / "1.jpg").read_bytes() == b"x"
    (tmp_path / "real").rename(tmp_path / "aside")
    (tmp_path / "real").symlink_to(elsewhere)
    with pytest.raises(Unreachable, match="is a symbolic link"):
        await objects.put("r/2.jpg", b"x")
    assert untouched(elsewhere)


async def test_a_fifo_in_an_objects_place_holds_up_nobody(folder: Path) -> None:
    objects = Objects.open(folder.as_uri())
    (folder / "r").mkdir()
    os.mkfifo(folder / "r" / "1.jpg")
    assert [found.key async for found in objects.list()] == []
    with pytest.raises(ObjectRefused, match="no regular file"):
        await objects.get("r/1.jpg")
    await objects.put("r/1.jpg", b"x")
    assert await objects.get("r/1.jpg") == b"x"


async def test_an_object_that_is_not_whole_has_no_name_and_none_that_could_be_foretold(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    objects = Objects.open(folder.as_uri())
    names: set[str] = set()
    rename = os.rename

    def look(now: str, then: bytes, *, src_dir_fd: int, dst_dir_fd: int) -> None:
        names.add(now)
        assert not os.path.exists(folder / "r" / os.fsdecode(then))
        rename(now, then, src_dir_fd=src_dir_fd, dst_dir_fd=dst_dir_fd)

    monkeypatch.setattr(os, "rename", look)
    for number in range(3):
        await objects.put(f"r/{number}.jpg", b"x")
    assert len(names) == 3
    assert all(name.startswith(UNFINISHED) for name in names)
    (folder / "r" / f"{UNFINISHED}0123").write_bytes(b"a program was killed here")
    assert len([found async for found in objects.list("r")]) == 3
