"""From an image message to its result, with slots that answer what they are told to."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import cast

import pytest
from prometheus_client import REGISTRY
from pydantic import SecretStr

from services.detector.detect import failed
from services.detector.keeping import Keeping
from services.detector.pages import PAGE_REASON_LIMIT
from services.detector.pipe import Reply
from services.detector.process import SlotAnswer, SlotCrashed
from services.detector.references import Opened
from services.detector.taken import Taken
from shared.messages import (
    FACES_IN_MESSAGE,
    FACES_LIMIT,
    MESSAGE_LIMIT_BYTES,
    PAGES_LIMIT,
    AttachmentKind,
    Face,
    Kind,
    Page,
    Payload,
    Status,
    unpack_faces,
)
from shared.picture_keys import PictureKeys
from shared.reasons import Failure, Reason
from shared.recipe import DRAWING_VERSION
from shared.settings import Settings
from shared.streams.client import connect
from shared.streams.high_water import HighWaterMarks
from shared.streams.stage import Done, Retry, Work
from tests.support.detecting import (
    FACE,
    FOUND,
    FakePayloads,
    FakeSlots,
    detector_of,
    handled,
    result_in,
)
from tests.support.servers import RedisServer
from tests.support.stages import image


class FakeKeeping:
    """Keeps pictures in mind."""

    def __init__(self) -> None:
        self.put_pictures: list[Sequence[bytes]] = []

    async def put(self, _keys: PictureKeys, _reply: Reply, pictures: Sequence[bytes]) -> None:
        self.put_pictures.append(pictures)


def failed_images(code: str) -> float | None:
    """The metric of failed pictures; None where there is none of that code."""
    return REGISTRY.get_sample_value("faces_detector_failed_images_total", {"code": code})


async def test_a_result_says_all_that_was_found_and_whose_it_is() -> None:
    slots = FakeSlots(SlotAnswer(FOUND, (b"annotated", b"one", b"two")))
    message = image("some/a.png", source_version="1-2", generation=3)
    output = await handled(detector_of(slots), message)
    result = result_in(output)
    for field in ("id", "submission", "trace", "recipe", "generation", "name", "source_uri"):
        assert getattr(result, field) == getattr(message, field)
    assert (result.status, result.reason, result.faces) == (Status.FACES, "", FOUND.faces)
    assert (result.bytes, result.width, result.height, result.format) == (1234, 20, 10, "PNG")
    assert (result.consumer, result.attempts, result.detect_ms) == ("me", 2, 7.5)
    [(request, content)] = slots.asked
    assert (request.handed, request.version) == (True, "1-2")
    assert isinstance(content, Opened)


async def test_for_the_writer_pictures_travel_as_bodies() -> None:
    slots = FakeSlots(SlotAnswer(FOUND, (b"annotated", b"one", b"two")))
    message = image()
    output = await handled(detector_of(slots), message)
    result = result_in(output)
    assert result.annotated == message.keys.annotated
    assert result.crops == message.keys.crops(2)
    assert result.payload is not None
    assert output.payloads[result.payload] == b"annotated"
    assert [output.payloads[payload] for payload in result.crop_payloads] == [b"one", b"two"]
    assert set(output.payloads) == set(result.payloads)


async def test_equal_crops_are_still_two_bodies() -> None:
    slots = FakeSlots(SlotAnswer(FOUND, (b"annotated", b"same", b"same")))
    assert len(result_in(await handled(detector_of(slots), image())).crop_payloads) == 2


async def test_an_annotated_picture_too_large_for_redis_fails_with_the_setting() -> None:
    slots = FakeSlots(SlotAnswer(FOUND, (b"x" * 101, b"one", b"two")))
    output = await handled(detector_of(slots, inline_limit_bytes=100), image())
    result = result_in(output)
    assert result.status is Status.FAILED
    assert "FACES_INLINE_LIMIT_BYTES allows 100" in result.reason
    assert result.code == Reason.TOO_LARGE
    assert result.width == 20
    assert output.payloads == {}


@pytest.mark.parametrize(("size", "fits"), [(9 << 20, True), (10 << 20, False)])
async def test_pictures_that_redis_can_never_hold_fail_in_place_of_waiting_for_ever(
    size: int, fits: bool, tmp_path: Path
) -> None:
    server = RedisServer(tmp_path, "--maxmemory", "20mb")
    server.start()
    client = connect(SecretStr(server.url))
    try:
        largest = partial(HighWaterMarks.largest_message, client, Settings.load({}))
        parts = (b"x" * (size - 2), b"one", b"two")
        detector = detector_of(FakeSlots(SlotAnswer(FOUND, parts)), largest=largest)
        output = await handled(detector, image())
    finally:
        await client.aclose()
        server.kill()
    result = result_in(output)
    assert (result.status is Status.FAILED) is not fits
    if not fits:
        assert result.code == Reason.TOO_LARGE
        assert f"have {size + 4:,} bytes, and Redis takes at most 10,485,760" in result.reason
        assert "FACES_PICTURES_BY=detector" in result.reason
        assert output.payloads == {}


async def test_where_detectors_store_pictures_redis_limits_none() -> None:
    async def nothing_at_all(_: int) -> int:
        return 0

    slots, keeping = FakeSlots(SlotAnswer(FOUND, (b"annotated", b"one", b"two"))), FakeKeeping()
    detector = detector_of(slots, keeping=cast(Keeping, keeping), largest=nothing_at_all)
    result = result_in(await handled(detector, image()))
    assert result.status is Status.FACES
    assert keeping.put_pictures == [(b"annotated", b"one", b"two")]


async def test_an_inline_picture_is_sent_to_the_slot() -> None:
    slots = FakeSlots(SlotAnswer(Reply(kind="done", status=Status.NO_FACES), ()))
    payload = Payload.of(b"pixels")
    output = await handled(
        detector_of(slots, FakePayloads({payload.id: b"pixels"})), image(payload=payload)
    )
    assert result_in(output).status is Status.NO_FACES
    [(request, content)] = slots.asked
    assert (request.handed, content) == (False, b"pixels")


async def test_bytes_lost_with_redis_are_a_clear_failure_without_a_slot() -> None:
    slots = FakeSlots(RuntimeError("not asked"))
    result = result_in(await handled(detector_of(slots), image(payload=Payload.of(b"lost"))))
    assert result.status is Status.FAILED
    assert "lost with Redis" in result.reason
    assert result.code == Reason.BYTES_LOST
    assert slots.asked == []


async def test_a_bad_picture_is_a_result_and_not_a_retry() -> None:
    cut = Reply(kind="done", reason="it is truncated", code=Reason.TRUNCATED, size=3)
    before = failed_images(Reason.TRUNCATED) or 0
    result = result_in(await handled(detector_of(FakeSlots(SlotAnswer(cut, ()))), image()))
    assert (result.status, result.reason) == (Status.FAILED, "it is truncated")
    assert result.code == Reason.TRUNCATED
    assert (result.width, result.annotated, result.crops) == (None, None, ())
    assert failed_images(Reason.TRUNCATED) == before + 1


@pytest.mark.parametrize("code", [None, "made_up"])
async def test_a_code_that_a_child_made_up_is_an_error_and_no_label(code: str | None) -> None:
    told = Reply(kind="done", reason="cancelled", code=code)
    before = failed_images(Reason.ERROR) or 0
    result = result_in(await handled(detector_of(FakeSlots(SlotAnswer(told, ()))), image()))
    assert result.code == Reason.ERROR
    assert failed_images(Reason.ERROR) == before + 1
    assert failed_images("made_up") is None


async def test_a_document_says_its_pages_and_which_of_them_is_drawn() -> None:
    pages = (Page(n=1, width=20, height=10), Page(n=2, reason="damaged"), Page(n=3, width=20))
    told = {"media": Kind.DOCUMENT, "pages": 700, "searched": pages, "annotated_page": 3}
    document = FOUND.model_copy(update={**told, "faces": (FACE.model_copy(update={"page": 3}),)})
    slots = FakeSlots(SlotAnswer(document, (b"annotated", b"one", b"two")))
    result = result_in(await handled(detector_of(slots), image()))
    assert (result.kind, result.pages, result.searched) == (Kind.DOCUMENT, 700, pages)
    assert (result.annotated_page, [face.page for face in result.faces]) == (3, [3])


async def test_a_picture_says_by_which_version_it_was_drawn_and_when_it_was_taken() -> None:
    taken = Taken(taken_at="2019-06-01T12:00:00+02:00", camera="Canon EOS 5D")
    found = FOUND.model_copy(update={"taken": taken})
    slots = FakeSlots(SlotAnswer(found, (b"annotated", b"one", b"two")))
    result = result_in(await handled(detector_of(slots), image()))
    assert (result.taken_at, result.camera) == (taken.taken_at, taken.camera)
    assert result.drawing == DRAWING_VERSION
    nothing = FakeSlots(SlotAnswer(Reply(kind="done", status=Status.NO_FACES), ()))
    assert result_in(await handled(detector_of(nothing), image())).drawing is None


def crowd(count: int) -> tuple[Face, ...]:
    """Faces whose numbers take as much room as any."""
    marks = tuple(n + 12345.67 for n in range(10))
    where = {"x": 12345.67, "y": 12345.67, "w": 12345.67, "h": 12345.67}
    return tuple(
        Face(**where, score=0.9123456789012345, landmarks=marks, page=1 + n % PAGES_LIMIT)
        for n in range(count)
    )


@pytest.mark.parametrize("count", [FACES_IN_MESSAGE, FACES_IN_MESSAGE + 1])
async def test_more_faces_than_a_message_carries_are_attached(count: int) -> None:
    faces = crowd(count)
    found = FOUND.model_copy(update={"faces": faces, "crops": 0})
    output = await handled(detector_of(FakeSlots(SlotAnswer(found, (b"annotated",)))), image())
    result = result_in(output)
    assert set(result.payloads) == set(output.payloads)
    if count > FACES_IN_MESSAGE:
        [attached] = result.attachments
        assert (attached.kind, result.faces) == (AttachmentKind.FACES, ())
        assert unpack_faces(output.payloads[attached.payload]) == faces
    else:
        assert (result.attachments, result.faces) == ((), faces)


async def test_the_largest_result_stays_below_the_limit_of_a_message() -> None:
    sentence = "\N{BLACK STAR}" * PAGE_REASON_LIMIT
    found = FOUND.model_copy(
        update={
            "faces": crowd(FACES_LIMIT),
            "crops": FACES_LIMIT,
            "media": Kind.DOCUMENT,
            "pages": 100_000,
            "searched": tuple(
                Page(n=n, width=99_999, height=99_999, reason=sentence)
                for n in range(1, PAGES_LIMIT + 1)
            ),
        }
    )
    pictures = tuple(b"x" * 100_000 for _ in range(FACES_LIMIT + 1))
    output = await handled(detector_of(FakeSlots(SlotAnswer(found, pictures))), image("n" * 4096))
    result = result_in(output)
    assert len(result.encode()) < MESSAGE_LIMIT_BYTES
    assert len(result.crops) == len(result.crop_payloads) == FACES_LIMIT


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (
            SlotCrashed("took longer than 60 s", "timeout"),
            Retry("took longer than 60 s", Reason.TIMEOUT),
        ),
        (
            SlotAnswer(Reply(kind="retry", reason="away", code=Reason.UNREADABLE), ()),
            Retry("away", Reason.UNREADABLE),
        ),
    ],
)
async def test_what_may_pass_is_tried_again(answer: SlotAnswer | Exception, outcome: Retry) -> None:
    assert await detector_of(FakeSlots(answer)).handle([Work(image(), 1, "me")]) == [outcome]


async def test_outcomes_are_in_the_order_of_the_messages() -> None:
    slots = FakeSlots(SlotAnswer(Reply(kind="done", status=Status.NO_FACES), ()))
    messages = [image("a"), image("b"), image("c")]
    outcomes = await detector_of(slots).handle([Work(one, 1, "me") for one in messages])
    ids = [
        result_in(one.outputs[0]).id for one in outcomes if isinstance(one, Done) and one.outputs
    ]
    assert ids == [one.id for one in messages]


def test_a_dead_letter_tells_the_writer_why() -> None:
    message = image()
    result = failed(message, Failure(Reason.TIMEOUT, "r" * 5000), 3, "me")
    assert (result.id, result.status, result.attempts) == (message.id, Status.FAILED, 3)
    assert (result.reason, result.code) == ("r" * 1000, Reason.TIMEOUT)
