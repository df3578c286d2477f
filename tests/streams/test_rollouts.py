"""A rollout: services of the last message version and of the new one, side by side."""

import json
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import pytest
from pydantic import Field

from shared.errors import InvalidMessage, LeftToOthers
from shared.health import Health
from shared.messages import (
    Face,
    ImageMessage,
    Message,
    Payload,
    SourceMessage,
    Status,
    decode_result,
    message,
)
from shared.metrics import ENTRIES
from shared.picture_keys import PictureKeys
from shared.streams.client import connect
from shared.streams.keys import DEAD, IMAGES, RESULTS
from shared.streams.runner import open_stage_of
from shared.streams.stage import Outcome, StageSpec, Work
from tests.support.stages import (
    RECIPE,
    Running,
    Suite,
    failed_result,
    image,
    pass_on,
    result_of,
    source_at,
    suite_on,
)
from tests.support.waiting import wait_until

OLD = message.SCHEMA_VERSION
NEW = OLD + 1


class NewImageMessage(ImageMessage):
    """The image message as a program of the next version has it: one field more, with a default."""

    v: int = Field(NEW, ge=OLD, le=NEW)
    hint: str = ""


@contextmanager
def next_version() -> Iterator[None]:
    """While a message is decoded, this is the next version of the program."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(message, "SCHEMA_VERSION", NEW)
        yield


def decode_new(encoded: bytes) -> NewImageMessage:
    with next_version():
        return NewImageMessage.decode(encoded)


@asynccontextmanager
async def detecting(
    suite: Suite, decode: Callable[[bytes], ImageMessage], seen: list[ImageMessage]
) -> AsyncIterator[Running]:
    """A detector of one version, which notes what it was given."""

    async def note(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
        seen.extend(work.message for work in works)
        return await pass_on(works)

    client = connect(suite.settings.redis_url)
    spec = StageSpec("detector", IMAGES, decode, note, failed_result, concurrency=4)
    async with open_stage_of(spec, suite.settings, Health(), client) as stage:
        run = Running(stage)
        try:
            yield run
        finally:
            await run.drain()
            await client.aclose()


def renewed(message: ImageMessage) -> NewImageMessage:
    return NewImageMessage.model_validate(message.model_dump() | {"v": NEW, "hint": "left side"})


async def results_are(suite: Suite, count: int) -> bool:
    return await suite.length(RESULTS) == count


async def test_old_and_new_services_run_side_by_side(redis_url: str) -> None:
    async with suite_on(redis_url, lease_seconds=1) as suite:
        old = [image(f"old-{n}.jpg") for n in range(10)]
        new = [renewed(image(f"new-{n}.jpg")) for n in range(10)]
        for pair in zip(old, new, strict=True):
            await suite.add_all(pair)
        seen_by_old: list[ImageMessage] = []
        seen_by_new: list[ImageMessage] = []
        async with detecting(suite, ImageMessage.decode, seen_by_old):
            await wait_until(lambda: results_are(suite, 10), "the old one does what it can read")
            assert {one.name for one in seen_by_old} == {one.name for one in old}
            assert await suite.length(IMAGES) == 10, "the new messages are left in the stream"
            await suite.add_all([image("late.jpg")])
            async with detecting(suite, decode_new, seen_by_new):
                await wait_until(lambda: results_are(suite, 21), "the new one takes the others")
        assert {one.name for one in new} <= {one.name for one in seen_by_new}
        assert {getattr(one, "hint", "") for one in seen_by_new if "new" in one.name} == {
            "left side"
        }
        assert len({one.id for one in await suite.results()}) == 21, "each is done once"
        assert await suite.length(DEAD) == 0


async def test_the_new_service_alone_finishes_what_the_old_ones_queued(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        await suite.add_all([image(), renewed(image())])
        seen: list[ImageMessage] = []
        async with detecting(suite, decode_new, seen):
            await wait_until(lambda: results_are(suite, 2), "both are done")
        assert [one.v for one in seen] == [NEW, NEW], "what is read is of this version from then on"


def test_an_old_reader_leaves_the_next_version_and_passes_over_fields_it_does_not_know() -> None:
    with pytest.raises(LeftToOthers, match=f"version {NEW}; this program reads {OLD}"):
        ImageMessage.decode(renewed(image()).encode())
    same_version = image().encode()[:-1] + b',"hint":"of a newer minor version"}'
    assert ImageMessage.decode(same_version).name == "a.jpg"


def test_a_new_reader_still_refuses_what_is_no_message_of_either_version() -> None:
    with pytest.raises(InvalidMessage):
        decode_new(renewed(image()).encode().replace(b'"name":"a.jpg"', b'"name":""'))
    with pytest.raises(LeftToOthers):
        decode_new(image().encode().replace(b'"v":%d' % OLD, b'"v":%d' % (NEW + 1)))


def of_a_newer_recipe(message: Message) -> bytes:
    """As a program of the same message version sends it whose recipes have one field more."""
    told = json.loads(message.encode())
    told["recipe"]["one_more"] = "new"
    told["recipe_id"] = told["recipe_id"][:-10] + "0123456789"
    return json.dumps(told).encode()


def decode_newer_recipe(encoded: bytes) -> ImageMessage:
    """As that program reads it: no other recipe than the sender's."""
    told = json.loads(encoded)
    if told["recipe"].pop("shape", None):
        told["recipe_id"] = RECIPE.id
    return ImageMessage.decode(json.dumps(told).encode())


async def add_by_hand(suite: Suite, encoded: bytes) -> None:
    await suite.client.xadd(suite.keys.stream(IMAGES), {"m": encoded, "n": 1})


async def test_a_program_that_would_drop_a_field_of_the_recipe_leaves_its_pictures(
    redis_url: str,
) -> None:
    async with suite_on(redis_url, lease_seconds=1, max_attempts=2, max_deliveries=2) as suite:
        for n in range(10):
            await add_by_hand(suite, of_a_newer_recipe(image(f"new-{n}.jpg")))
            await suite.add_all([image(f"old-{n}.jpg")])
        seen_by_old: list[ImageMessage] = []
        seen_by_new: list[ImageMessage] = []
        async with detecting(suite, ImageMessage.decode, seen_by_old):
            await wait_until(lambda: results_are(suite, 10), "it does what it reads as was sent")
            async with detecting(suite, decode_newer_recipe, seen_by_new):
                await wait_until(lambda: results_are(suite, 20), "the newer one does the others")
        assert not [one.name for one in seen_by_old if one.name.startswith("new")]
        assert {one.name for one in seen_by_new} >= {f"new-{n}.jpg" for n in range(10)}


async def test_however_often_it_is_left_to_others_it_does_not_become_poison(
    redis_url: str,
) -> None:
    async with suite_on(redis_url, lease_seconds=1, max_attempts=2, max_deliveries=2) as suite:
        await add_by_hand(suite, of_a_newer_recipe(image()))
        async with detecting(suite, ImageMessage.decode, []):
            left = ENTRIES.labels("detector", "left")._value
            before = left.get()
            await wait_until(lambda: left.get() > before + 3, "it was left four times")
        async with detecting(suite, decode_newer_recipe, []):
            await wait_until(lambda: results_are(suite, 1), "the newer one does it")
        assert await suite.length(DEAD) == 0


def test_a_result_of_a_newer_recipe_is_left_too_with_the_keys_of_its_pictures() -> None:
    sent = result_of(image(), status=Status.FACES, faces=(Face(x=1, y=1, w=1, h=1, score=1),))
    told = json.loads(of_a_newer_recipe(sent))
    told["annotated"] = PictureKeys(told["recipe_id"], sent.id).annotated
    with pytest.raises(LeftToOthers):
        decode_result(json.dumps(told).encode())


def test_what_is_left_to_others_is_said_with_both_recipes() -> None:
    with pytest.raises(LeftToOthers, match=rf"-0123456789; this program reads {RECIPE.id}"):
        ImageMessage.decode(of_a_newer_recipe(image()))


def test_a_message_of_the_version_before_is_read_without_a_recipes_id() -> None:
    told = json.loads(image().encode()) | {"v": OLD - 1}
    del told["recipe_id"]
    assert ImageMessage.decode(json.dumps(told).encode()).recipe_id == RECIPE.id


def test_what_was_read_is_of_this_version_when_it_is_sent_again() -> None:
    """It has this version's fields: a program of the one before must not take it for its own."""
    sent = image(payload=Payload.of(b"pixels"))
    told = json.loads(sent.encode()) | {"v": OLD - 1}
    told["body"] = told.pop("payload")
    read = ImageMessage.decode(json.dumps(told).encode())
    assert read == sent
    assert json.loads(read.encode())["v"] == OLD


def test_a_source_with_patterns_is_left_to_programs_that_know_them() -> None:
    """One of version 2 would search what was excluded; patterns came with version 3."""
    encoded = source_at("file:///in", exclude=("*.png",), include=("raw/",)).encode()
    told = json.loads(encoded)
    assert told["v"] >= 3
    newer = json.dumps(told | {"v": message.SCHEMA_VERSION + 1}).encode()
    with pytest.raises(LeftToOthers, match=f"this program reads {message.SCHEMA_VERSION}"):
        SourceMessage.decode(newer)
