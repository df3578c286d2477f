"""A rollout: services of the last message version and of the new one, side by side."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager

import pytest
from pydantic import Field

from shared.errors import InvalidMessage, LeftToOthers
from shared.health import Health
from shared.messages import ImageMessage, message
from shared.streams.client import connect
from shared.streams.keys import DEAD, IMAGES, RESULTS
from shared.streams.outcome import Outcome, Work
from shared.streams.runner import open_stage_of
from shared.streams.spec import StageSpec
from tests.support.stages import Running, Suite, failed_result, image, pass_on, suite_on
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
        assert sorted(one.v for one in seen) == [OLD, NEW]


def test_an_old_reader_leaves_the_next_version_and_passes_over_fields_it_does_not_know() -> None:
    with pytest.raises(LeftToOthers, match=f"version {NEW}; this program reads {OLD}"):
        ImageMessage.decode(renewed(image()).encode())
    same_version = image().encode()[:-1] + b',"hint":"of a newer minor version"}'
    assert ImageMessage.decode(same_version).name == "a.jpg"


def test_a_new_reader_still_refuses_what_is_no_message_of_either_version() -> None:
    with pytest.raises(InvalidMessage):
        decode_new(renewed(image()).encode().replace(b'"name":"a.jpg"', b'"name":""'))
    with pytest.raises(LeftToOthers):
        decode_new(image().encode().replace(b'"v":2', b'"v":4'))
