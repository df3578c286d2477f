"""Folders by reference: whose fault it is that a file below them cannot be opened or read."""

import errno
import os
import shutil
import threading
from collections.abc import Sequence
from os import fsdecode
from pathlib import Path
from typing import Any

import pytest

from services.detector.detect import Detector
from services.detector.pipe import Reply, Request
from services.detector.process import SlotAnswer, SlotCrashed
from services.detector.references import Opened
from shared.messages import ImageMessage, Status
from shared.reasons import Reason
from shared.stores.mounts import MountedFolder
from shared.streams.stage import Later, Outcome, Retry, Work
from tests.support.detecting import FakeSlots, detector_of, handled, result_in
from tests.support.stages import image
from tests.support.waiting import wait_until

SEARCHED = SlotAnswer(Reply(kind="done", status=Status.NO_FACES, size=1), ())


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return filled(tmp_path / "mounted")


def filled(folder: Path) -> Path:
    folder.mkdir()
    (folder / "a.jpg").write_bytes(b"x")
    return folder


def picture_in(root: Path, name: str = "a.jpg") -> ImageMessage:
    return image(source_uri=(root / name).as_uri())


def unreadable(reason: Reason) -> SlotAnswer:
    """What a slot says of a file that it cannot read."""
    kind = "done" if reason is Reason.GONE else "retry"
    return SlotAnswer(Reply(kind=kind, reason="told", code=reason), ())


def works(message: ImageMessage) -> Sequence[Work[ImageMessage]]:
    return [Work(message, 1, "me")]


async def outcome_of(detector: Detector, message: ImageMessage) -> Outcome:
    [outcome] = await detector.handle(works(message))
    return outcome


async def test_below_a_folder_that_is_there_it_is_the_files_own_fault(root: Path) -> None:
    slots = FakeSlots(unreadable(Reason.UNREADABLE))
    detector = detector_of(slots, roots=[root.as_uri()])
    assert await outcome_of(detector, picture_in(root)) == Retry("told", Reason.UNREADABLE)
    slots.answer = unreadable(Reason.GONE)
    result = result_in(await handled(detector, picture_in(root)))
    assert (result.status, result.code) == (Status.FAILED, Reason.GONE)
    slots.asked.clear()
    result = result_in(await handled(detector, picture_in(root, "gone.jpg")))
    assert (result.status, result.code) == (Status.FAILED, Reason.GONE)
    assert slots.asked == [], "what cannot be opened costs no slot"


class Unmounting(FakeSlots):
    """Slots under which a folder goes away as they read from it."""

    def __init__(self, root: Path, answer: SlotAnswer | Exception) -> None:
        super().__init__(answer)
        self._root = root

    async def ask(self, request: Request, content: bytes | Opened) -> SlotAnswer:
        if len(self.asked) == 0:
            shutil.rmtree(self._root)
        return await super().ask(request, content)


async def is_put_off_until_it_is_back(detector: Detector, slots: FakeSlots, root: Path) -> None:
    message, tried = picture_in(root), len(slots.asked)
    put_off = await outcome_of(detector, message)
    assert isinstance(put_off, Later)
    assert put_off.key == root.as_uri()
    assert "is not there; is it mounted?" in put_off.reason
    asked = len(slots.asked)
    assert asked <= tried + 1
    assert isinstance(await outcome_of(detector, message), Later)
    assert len(slots.asked) == asked, "the second was put off untried"

    filled(root)
    slots.answer = SEARCHED

    async def is_searched() -> bool:
        return not isinstance(await outcome_of(detector, message), Later)

    await wait_until(is_searched, "it is seen that the folder is back")


@pytest.mark.parametrize("said", [Reason.GONE, Reason.UNREADABLE, Reason.TIMEOUT])
async def test_below_one_that_goes_while_a_file_is_read_it_is_nobodys_until_the_folder_is_back(
    said: Reason, root: Path
) -> None:
    crash = SlotCrashed("took longer than 60 s", "timeout")
    slots = Unmounting(root, crash if said is Reason.TIMEOUT else unreadable(said))
    await is_put_off_until_it_is_back(detector_of(slots, roots=[root.as_uri()]), slots, root)


async def test_below_one_that_goes_before_a_file_is_opened_it_is_nobodys_either(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.stores.patience.LATELY_SECONDS", 1000)
    slots = FakeSlots(SEARCHED)
    detector = detector_of(slots, roots=[root.as_uri()])
    await handled(detector, picture_in(root))
    shutil.rmtree(root)
    await is_put_off_until_it_is_back(detector, slots, root)


async def test_a_folder_that_hangs_holds_no_slot_also_where_a_picture_is_let_through(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.stores.patience.SIGN_SECONDS", 0.1)
    monkeypatch.setattr("shared.streams.away.TRIAL_FIRST_SECONDS", 0)
    hang = threading.Event()
    monkeypatch.setattr(MountedFolder, "see", lambda _: hang.wait())
    slots = FakeSlots(SEARCHED)
    detector = detector_of(slots, roots=[root.as_uri()])
    for _ in range(3):
        outcome = await outcome_of(detector, picture_in(root))
        assert isinstance(outcome, Later)
        assert "does not answer" in outcome.reason
    assert slots.asked == []
    hang.set()


class Back(FakeSlots):
    """Slots that read what they could not read at the first time."""

    async def ask(self, request: Request, content: bytes | Opened) -> SlotAnswer:
        answer = await super().ask(request, content)
        self.answer = SEARCHED
        return answer


@pytest.mark.parametrize("said", [Reason.GONE, Reason.UNREADABLE])
async def test_a_file_whose_folder_is_back_by_the_time_it_is_judged_is_opened_and_read_once_more(
    said: Reason, root: Path
) -> None:
    slots = Back(unreadable(said))
    detector = detector_of(slots, roots=[root.as_uri()])
    assert result_in(await handled(detector, picture_in(root))).status is Status.NO_FACES
    (_, first), (_, second) = slots.asked
    assert first is not second, "an open file of before the outage may be stale for good"


@pytest.fixture
def refusing(monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Names of files that the operating system refuses to open. (Root may open all others.)"""
    refused: set[str] = set()
    real = os.open

    def open_unless_refused(path: Any, *flags: Any, **more: Any) -> int:
        if Path(fsdecode(path)).name in refused:
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, *flags, **more)

    monkeypatch.setattr(os, "open", open_unless_refused)
    return refused


async def read_first(detector: Detector, root: Path, *names: str) -> None:
    """Have these files read by slots."""
    for name in names:
        (root / name).write_bytes(b"x")
        await handled(detector, picture_in(root, name))


@pytest.mark.parametrize("opening", [True, False])
async def test_a_volume_that_refuses_what_was_read_from_it_is_nobodys_fault(
    opening: bool, root: Path, refusing: set[str]
) -> None:
    slots = FakeSlots(SEARCHED)
    detector = detector_of(slots, roots=[root.as_uri()])
    await read_first(detector, root, "1.jpg", "2.jpg")
    refusing |= {"1.jpg", "2.jpg"} | ({"a.jpg"} if opening else set())
    slots.answer = unreadable(Reason.UNREADABLE)
    outcome = await outcome_of(detector, picture_in(root))
    assert isinstance(outcome, Later)
    assert outcome.reason.endswith(f"what was read from {root} no longer can be: Permission denied")
    refusing.clear()

    async def is_tried() -> bool:
        return not isinstance(await outcome_of(detector, picture_in(root)), Later)

    await wait_until(is_tried, "it is seen that it can be read")


async def test_one_file_that_is_refused_beside_others_is_its_own_fault(
    root: Path, refusing: set[str]
) -> None:
    detector = detector_of(FakeSlots(SEARCHED), roots=[root.as_uri()])
    await read_first(detector, root, "1.jpg", "2.jpg")
    refusing |= {"2.jpg", "a.jpg"}
    result = result_in(await handled(detector, picture_in(root)))
    assert (result.status, result.code) == (Status.FAILED, Reason.UNREADABLE)
    assert "permission denied" in result.reason


async def test_files_elsewhere_do_not_wait_for_it(root: Path, tmp_path: Path) -> None:
    elsewhere = filled(tmp_path / "elsewhere")
    slots = Unmounting(root, unreadable(Reason.GONE))
    detector = detector_of(slots, roots=[root.as_uri(), elsewhere.as_uri()])
    assert isinstance(await outcome_of(detector, picture_in(root)), Later)
    slots.answer = SEARCHED
    result = result_in(await handled(detector, picture_in(elsewhere)))
    assert result.status is Status.NO_FACES


async def test_a_link_from_elsewhere_into_a_folder_is_followed_and_none_out_of_it(
    root: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(root)
    filled(tmp_path / "secret")
    (root / "out").symlink_to(tmp_path / "secret")
    slots = FakeSlots(SEARCHED)
    detector = detector_of(slots, roots=[root.as_uri()])
    result = result_in(await handled(detector, picture_in(tmp_path / "link")))
    assert result.status is Status.NO_FACES
    slots.asked.clear()
    for outside in (root / "out", tmp_path / "secret"):
        result = result_in(await handled(detector, picture_in(outside)))
        assert (result.status, result.code) == (Status.FAILED, Reason.NOT_ALLOWED)
    assert slots.asked == [], "no slot is handed what is outside"
