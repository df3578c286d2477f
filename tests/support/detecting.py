"""Detectors under test without processes: slots that answer what they are told to."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar, cast

from services.detector.contents import Contents
from services.detector.detect import Detector, Largest, unlimited
from services.detector.keeping import Keeping
from services.detector.pipe import Reply, Request
from services.detector.process import SlotAnswer
from services.detector.references import Opened, Rules
from services.detector.room import Room
from services.detector.roots import Roots
from services.detector.slots import Slots
from shared.messages import Face, ImageMessage, Payload, ResultMessage, Status
from shared.references import FILES, Scheme
from shared.settings import Settings
from shared.streams.away import Away
from shared.streams.later import WaitingSets
from shared.streams.stage import Done, Output, Work

FACE = Face(x=1, y=2, w=3, h=4, score=0.9)

FOUND = Reply(
    kind="done",
    status=Status.FACES,
    size=1234,
    width=20,
    height=10,
    format="PNG",
    faces=(FACE, FACE),
    annotated=True,
    crops=2,
    steps_ms={"decode": 1.5},
    total_ms=7.5,
)


class FakeSlots:
    """Slots that answer what they are told to."""

    def __init__(self, answer: SlotAnswer | Exception) -> None:
        self.answer = answer
        self.asked: list[tuple[Request, bytes | Opened]] = []

    async def ask(self, request: Request, content: bytes | Opened) -> SlotAnswer:
        self.asked.append((request, content))
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


class FakePayloads:
    """Payloads by id."""

    def __init__(self, known: dict[str, bytes] | None = None) -> None:
        self.known = known or {}

    async def get(self, payload: Payload) -> bytes | None:
        return self.known.get(payload.id)


async def handled(detector: Detector, message: ImageMessage) -> Output:
    [outcome] = await detector.handle([Work(message, 2, "me")])
    assert isinstance(outcome, Done)
    [output] = outcome.outputs
    return output


def result_in(output: Output) -> ResultMessage:
    assert isinstance(output.message, ResultMessage)
    assert ResultMessage.decode(output.message.encode()) == output.message
    return output.message


class AnyFile:
    """Every file is there, and in no folder that could be at fault."""

    scheme: ClassVar[Scheme] = FILES

    @asynccontextmanager
    async def content(self, _uri: str, _version: str) -> AsyncIterator[Opened]:
        yield Opened(descriptor=-1, below="")

    async def judge(self, _: str) -> None:
        """It is not the folder's fault."""


class NobodyWaits:
    """Waiting sets in which nothing waits."""

    async def asks(self, _key: str, _seconds: float) -> None:
        """Nobody needs to know."""

    async def bring_back(self, _: str) -> int:
        return 0


def answering_all() -> Away:
    """What is away: nothing yet."""
    return Away(cast(WaitingSets, NobodyWaits()))


def detector_of(
    slots: FakeSlots,
    payloads: FakePayloads | None = None,
    keeping: Keeping | None = None,
    roots: Sequence[str] = (),
    largest: Largest = unlimited,
    **overrides: Any,  # Any: any setting's value
) -> Detector:
    """A detector of what was sent along, and of files below these roots; of any without roots."""
    rules = Rules({FILES.kind: tuple(roots)}, 1000)
    opening = Roots(rules, answering_all(), 1, seconds=60)
    files = opening if roots else cast(Roots, AnyFile())
    contents = Contents(payloads or FakePayloads(), (files,), Room(1000))
    settings = Settings.load(overrides)
    return Detector(cast(Slots, slots), contents, files, settings, keeping, largest)
