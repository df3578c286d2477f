"""Pictures that the detector puts into the object store itself, for its slots."""

import asyncio
from pathlib import Path

import pytest

from services.detector.detect import Detector
from services.detector.keeping import Keeping
from services.detector.process import SlotAnswer
from shared.errors import Unreachable
from shared.health import Health
from shared.reasons import Reason
from shared.stores.objects import ObjectRefused, Objects
from shared.streams.outage import Outage
from shared.streams.stage import Retry, Work
from tests.support.detecting import FOUND, FakeSlots, detector_of, handled, result_in
from tests.support.stages import image
from tests.support.waiting import wait_until


@pytest.fixture
def objects(tmp_path: Path) -> Objects:
    return Objects.open(f"file://{tmp_path}")


@pytest.fixture
def health() -> Health:
    return Health()


@pytest.fixture
def slots() -> FakeSlots:
    return FakeSlots(SlotAnswer(FOUND, (b"annotated", b"one", b"two")))


@pytest.fixture
def detector(slots: FakeSlots, objects: Objects, health: Health) -> Detector:
    keeping = Keeping(objects, Outage("detector", health, "pictures"))
    return detector_of(slots, keeping=keeping)


async def test_they_are_in_the_store_before_the_result_that_names_them(
    detector: Detector, objects: Objects
) -> None:
    output = await handled(detector, image())
    result = result_in(output)
    assert output.payloads == {}, "none passes through Redis"
    assert result.payloads == ()
    assert result.annotated is not None
    assert await objects.get(result.annotated) == b"annotated"
    assert [await objects.get(key) for key in result.crops] == [b"one", b"two"]


async def test_a_store_that_refuses_them_is_tried_again_as_an_attempt(
    detector: Detector, objects: Objects, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refuse(*_: object) -> None:
        raise ObjectRefused("403")

    monkeypatch.setattr(objects, "put", refuse)
    outcome = await detector.handle([Work(image(), 1, "me")])
    assert outcome == [Retry("403", Reason.STORE_REFUSED)]


async def test_a_store_that_is_back_and_refuses_one_is_not_called_away(
    detector: Detector, objects: Objects, health: Health, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = iter([Unreachable("disk full"), ObjectRefused("403")])

    async def refuse(*_: object) -> None:
        raise next(answers)

    monkeypatch.setattr(objects, "put", refuse)
    health.ready("start")
    assert await detector.handle([Work(image(), 1, "me")]) == [Retry("403", Reason.STORE_REFUSED)]
    assert health.problems == {}


async def test_a_store_that_is_away_is_waited_for_and_nothing_is_searched_again(
    detector: Detector,
    objects: Objects,
    slots: FakeSlots,
    health: Health,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    message, is_away, put = image(), True, objects.put

    async def put_unless_away(key: str, content: bytes) -> None:
        if is_away:
            raise Unreachable("disk full")
        await put(key, content)

    monkeypatch.setattr(objects, "put", put_unless_away)
    health.ready("start")
    handling = asyncio.create_task(handled(detector, message))
    await wait_until(lambda: "disk full" in str(health.problems), "it says what it waits for")
    is_away = False
    result = result_in(await handling)
    assert health.problems == {}
    assert result.annotated is not None
    assert await objects.get(result.annotated) == b"annotated"
    assert len(slots.asked) == 1
