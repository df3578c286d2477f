"""One folder whose file system hangs: nobody waits for ever, and nothing stays open."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from services.detector import opening as module
from services.detector.failures import TryAgain
from services.detector.opening import HANGING_LIMIT, PictureFolder, close_behind
from services.detector.references import Opened, Rules, open_reference
from shared.errors import Unreachable
from shared.reasons import Reason
from shared.references import FILES
from shared.stores.mounts import MountedFolder
from tests.support.processes import open_files
from tests.support.waiting import wait_until


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "a.jpg").write_bytes(b"x")
    (tmp_path / "b.jpg").write_bytes(b"x")
    return tmp_path


def folder_of(root: Path, at_once: int = 100, seconds: float = 60) -> PictureFolder:
    rules = Rules({FILES.kind: (root.as_uri(),)}, 1000)
    return PictureFolder(root.as_uri(), rules, at_once, seconds)


class Hang:
    """Opening the file a.jpg hangs, until this has an end."""

    def __init__(self) -> None:
        self._end = threading.Event()
        self.begun = 0

    def open(self, uri: str, version: str, rules: Rules) -> Opened:
        if uri.endswith("/a.jpg"):
            self.begun += 1
            self._end.wait()
        return open_reference(uri, version, rules)

    def end(self) -> None:
        self._end.set()


@pytest.fixture
def hang(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hang]:
    hanging = Hang()
    monkeypatch.setattr(module, "open_reference", hanging.open)
    monkeypatch.setattr("shared.stores.patience.PATIENCE_SECONDS", 0.01)
    yield hanging
    hanging.end()


@asynccontextmanager
async def nothing_left_open() -> AsyncIterator[None]:
    await asyncio.sleep(0)  # the loop's own
    before = open_files()
    yield
    await wait_until(lambda: open_files() <= before, "all is closed")


def nothing() -> None:
    """The folder is not known to be away."""


async def test_a_file_is_opened_and_closed_without_holding_up_the_loop(root: Path) -> None:
    folder = folder_of(root)
    async with nothing_left_open():
        opened = await folder.open((root / "a.jpg").as_uri(), "")
        assert str(opened.descriptor) in open_files()
        close_behind(opened)


async def test_a_file_that_hangs_in_a_folder_that_answers_is_given_up_alone(
    root: Path, hang: Hang
) -> None:
    folder = folder_of(root, seconds=0.1)
    async with nothing_left_open():
        with pytest.raises(TryAgain, match=r"could not be opened within 0.1 s") as failed:
            await folder.open((root / "a.jpg").as_uri(), "")
        assert failed.value.reason is Reason.TIMEOUT
        close_behind(await folder_of(root).open((root / "b.jpg").as_uri(), ""))
        hang.end()


async def test_a_file_that_hangs_with_its_folder_is_the_folders_fault(
    root: Path, hang: Hang, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.stores.patience.SIGN_SECONDS", 0.1)
    folder = folder_of(root)
    await folder.there()
    silent = threading.Event()
    monkeypatch.setattr(MountedFolder, "see", lambda _: silent.wait())
    async with nothing_left_open():
        with pytest.raises(Unreachable, match="does not answer"):
            await folder.open((root / "a.jpg").as_uri(), "")
        hang.end()
    silent.set()


async def test_a_file_that_is_opened_after_nobody_wants_it_any_more_is_closed(
    root: Path, hang: Hang
) -> None:
    folder = folder_of(root)
    async with nothing_left_open():
        opening = [
            asyncio.create_task(folder.open((root / "a.jpg").as_uri(), "")) for _ in range(3)
        ]
        await wait_until(lambda: hang.begun == 3, "all of them hang")
        for one in opening:
            one.cancel()
        await asyncio.wait(opening)
        hang.end()


async def test_a_file_that_is_there_at_the_moment_it_is_given_up_is_closed(root: Path) -> None:
    folder = folder_of(root)
    await folder.there()
    async with nothing_left_open():
        for turns in range(30):
            opening = asyncio.create_task(folder.open((root / "b.jpg").as_uri(), ""))
            for _ in range(turns):
                await asyncio.sleep(0)
            opening.cancel()
            [done], _ = await asyncio.wait([opening])
            if not done.cancelled():
                close_behind(done.result())


async def test_a_folder_in_which_many_files_hang_counts_as_away_until_they_end(
    root: Path, hang: Hang, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.stores.patience.LATELY_SECONDS", 0)
    folder = folder_of(root)
    threads = threading.active_count()

    async def refused() -> bool:
        try:
            close_behind(await folder.open((root / "b.jpg").as_uri(), ""))
        except Unreachable as away:
            return f"{HANGING_LIMIT} files hang" in str(away)
        return False  # by what was asked before the last of them hung

    for _ in range(3):
        opening = [
            asyncio.create_task(folder.open((root / "a.jpg").as_uri(), ""))
            for _ in range(HANGING_LIMIT)
        ]
        await wait_until(lambda: hang.begun == HANGING_LIMIT, "they hang")
        for one in opening:
            one.cancel()
        await asyncio.wait(opening)
        await wait_until(refused, "it counts as away")
    assert hang.begun == HANGING_LIMIT
    assert threading.active_count() <= threads + HANGING_LIMIT + 1
    hang.end()

    async def opens() -> bool:
        try:
            close_behind(await folder.open((root / "b.jpg").as_uri(), ""))
        except Unreachable:
            return False
        return True

    await wait_until(opens, "it answers again")


async def test_no_more_files_are_open_at_once_than_there_are_places(root: Path) -> None:
    folder = folder_of(root, at_once=2)
    held = most = 0

    async def hold() -> None:
        nonlocal held, most
        async with folder.place(nothing):
            held += 1
            most = max(most, held)
            await asyncio.sleep(0)
            held -= 1

    await asyncio.gather(*(hold() for _ in range(20)))
    assert most == 2


async def test_who_waited_for_a_place_sees_whether_the_folder_is_away_by_now(root: Path) -> None:
    folder = folder_of(root, at_once=1)
    away = False

    def see() -> None:
        if away:
            raise Unreachable("away by now")

    async def wait_for_a_place(see: Callable[[], None]) -> None:
        async with folder.place(see):
            pytest.fail("it is away")

    async with folder.place(see):
        waits = asyncio.create_task(wait_for_a_place(see))
        await asyncio.sleep(0)
        away = True
    with pytest.raises(Unreachable, match="away by now"):
        await waits
