"""Folders by reference: whose fault it is that a file below them cannot be read."""

import errno
import os
import threading
from collections.abc import Sequence
from os import fsdecode
from pathlib import Path
from typing import Any

import pytest

from services.detector.detect import Detector
from services.detector.pipe import Reply, Request
from services.detector.process import SlotAnswer, SlotCrashed
from shared.messages import ImageMessage, Status
from shared.reasons import Reason
from shared.stores.mounts import MountedFolder
from shared.streams.stage import Later, Outcome, Retry, Work
from tests.support.detecting import FakeSlots, detector_of, handled, result_in
from tests.support.stages import image
from tests.support.waiting import wait_until


@pytest.fixture
def root(tmp_path: Path) -> Path:
    folder = tmp_path / "mounted"
    folder.mkdir()
    return folder


def picture_in(root: Path) -> ImageMessage:
    return image(source_uri=(root / "a.jpg").as_uri())


def unreadable(root: Path, reason: Reason) -> SlotAnswer:
    """What a slot says of a file that it cannot read."""
    kind = "done" if reason is Reason.GONE else "retry"
    told = Reply(kind=kind, reason="told", code=reason, unreadable_below=root.as_uri())
    return SlotAnswer(told, ())


def works(message: ImageMessage) -> Sequence[Work[ImageMessage]]:
    return [Work(message, 1, "me")]


async def test_below_a_folder_that_is_there_it_is_the_files_own_fault(root: Path) -> None:
    gone = detector_of(FakeSlots(unreadable(root, Reason.GONE)), roots=[root.as_uri()])
    result = result_in(await handled(gone, picture_in(root)))
    assert (result.status, result.code) == (Status.FAILED, Reason.GONE)
    broken = detector_of(FakeSlots(unreadable(root, Reason.UNREADABLE)), roots=[root.as_uri()])
    assert await broken.handle(works(picture_in(root))) == [Retry("told", Reason.UNREADABLE)]


class Unmounting(FakeSlots):
    """Slots under which a folder goes away as they read from it."""

    def __init__(self, root: Path, answer: SlotAnswer | Exception) -> None:
        super().__init__(answer)
        self._root = root

    async def ask(self, request: Request, content: bytes = b"") -> SlotAnswer:
        if len(self.asked) == 0:
            self._root.rmdir()
        return await super().ask(request, content)


@pytest.mark.parametrize("said", [Reason.GONE, Reason.UNREADABLE, Reason.TIMEOUT])
async def test_below_one_that_is_not_it_is_nobodys_until_the_folder_is_back(
    said: Reason, root: Path
) -> None:
    crash = SlotCrashed("took longer than 60 s", "timeout")
    slots = Unmounting(root, crash if said is Reason.TIMEOUT else unreadable(root, said))
    detector = detector_of(slots, roots=[root.as_uri()])
    message = picture_in(root)

    async def put_off() -> Outcome:
        [outcome] = await detector.handle(works(message))
        return outcome

    first = await put_off()
    assert isinstance(first, Later)
    assert first.key == root.as_uri()
    assert "is not there; is it mounted?" in first.reason
    assert isinstance(await put_off(), Later)
    assert len(slots.asked) == 1, "the second was put off untried"

    root.mkdir()
    slots.answer = SlotAnswer(Reply(kind="done", status=Status.NO_FACES), ())

    async def is_searched() -> bool:
        return not isinstance(await put_off(), Later)

    await wait_until(is_searched, "it is seen that the folder is back")


async def test_a_folder_that_hangs_holds_no_slot_also_where_a_picture_is_let_through(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shared.stores.patience.SIGN_SECONDS", 0.1)
    monkeypatch.setattr("shared.streams.away.TRIAL_FIRST_SECONDS", 0)
    hang = threading.Event()
    monkeypatch.setattr(MountedFolder, "see", lambda _: hang.wait())
    slots = FakeSlots(SlotAnswer(Reply(kind="done", status=Status.NO_FACES), ()))
    detector = detector_of(slots, roots=[root.as_uri()])
    for _ in range(3):
        [outcome] = await detector.handle(works(picture_in(root)))
        assert isinstance(outcome, Later)
        assert "does not answer" in outcome.reason
    assert slots.asked == []
    hang.set()


async def test_a_file_whose_folder_is_back_by_the_time_it_is_judged_is_read_once_more(
    root: Path,
) -> None:
    class Back(FakeSlots):
        """Slots for which a folder is back after the first time."""

        async def ask(self, request: Request, content: bytes = b"") -> SlotAnswer:
            answer = await super().ask(request, content)
            self.answer = SlotAnswer(Reply(kind="done", status=Status.NO_FACES), ())
            return answer

    slots = Back(unreadable(root, Reason.GONE))
    detector = detector_of(slots, roots=[root.as_uri()])
    assert result_in(await handled(detector, picture_in(root))).status is Status.NO_FACES


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


async def read_first(slots: FakeSlots, detector: Detector, root: Path, *names: str) -> None:
    """Have these files read by slots, which then can read no more."""
    then = slots.answer
    slots.answer = SlotAnswer(Reply(kind="done", status=Status.NO_FACES, size=1), ())
    for name in names:
        (root / name).write_bytes(b"x")
        await handled(detector, image(source_uri=(root / name).as_uri()))
    slots.answer = then


async def test_a_volume_that_refuses_what_was_read_from_it_is_nobodys_fault(
    root: Path, refusing: set[str]
) -> None:
    slots = FakeSlots(unreadable(root, Reason.UNREADABLE))
    detector = detector_of(slots, roots=[root.as_uri()])
    await read_first(slots, detector, root, "1.jpg", "2.jpg")
    refusing |= {"1.jpg", "2.jpg", "a.jpg"}
    [outcome] = await detector.handle(works(picture_in(root)))
    assert isinstance(outcome, Later)
    assert outcome.reason.endswith(f"what was read from {root} no longer can be: Permission denied")
    refusing.clear()

    async def is_tried() -> bool:
        [outcome] = await detector.handle(works(picture_in(root)))
        return not isinstance(outcome, Later)

    await wait_until(is_tried, "it is seen that it can be read")


async def test_one_file_that_is_refused_beside_others_is_its_own_fault(
    root: Path, refusing: set[str]
) -> None:
    slots = FakeSlots(unreadable(root, Reason.UNREADABLE))
    detector = detector_of(slots, roots=[root.as_uri()])
    await read_first(slots, detector, root, "1.jpg", "2.jpg")
    refusing |= {"2.jpg", "a.jpg"}
    assert await detector.handle(works(picture_in(root))) == [Retry("told", Reason.UNREADABLE)]


async def test_a_folder_that_a_child_made_up_changes_nothing(root: Path) -> None:
    made_up = unreadable(Path("/made/up"), Reason.GONE)
    result = result_in(
        await handled(detector_of(FakeSlots(made_up), roots=[root.as_uri()]), picture_in(root))
    )
    assert result.code == Reason.GONE


async def test_files_elsewhere_do_not_wait_for_it(root: Path) -> None:
    slots = Unmounting(root, unreadable(root, Reason.GONE))
    detector = detector_of(slots, roots=[root.as_uri()])
    await detector.handle(works(picture_in(root)))
    slots.answer = SlotAnswer(Reply(kind="done", status=Status.NO_FACES), ())
    elsewhere = image(source_uri="file:///elsewhere/a.jpg")
    assert result_in(await handled(detector, elsewhere)).status is Status.NO_FACES
