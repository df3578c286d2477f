"""Stages under test: real runners on a real server, with handlers that a test chooses."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

from redis.asyncio import Redis

from shared.health import Health
from shared.messages import (
    ImageMessage,
    Message,
    Payload,
    ResultMessage,
    SourceKind,
    SourceMessage,
    Status,
    decode_result,
    new_token,
)
from shared.reasons import Failure
from shared.recipe import Recipe
from shared.settings import Settings
from shared.streams.client import connect
from shared.streams.keys import DEAD, IMAGES, RESULTS, SOURCES, Keys
from shared.streams.producer import Producer
from shared.streams.runner import Stage, open_stage_of
from shared.streams.stage import Done, Handler, Outcome, Output, StageSpec, Work
from tests.support.entries import entries_in

RECIPE = Recipe(model="haar", model_version="opencv4")


def settings_for(url: str, **overrides: Any) -> Settings:  # Any: any setting's value
    """Settings with short leases, so that reclaims happen soon."""
    return Settings.load({"redis_url": url, "lease_seconds": 2, "drain_seconds": 5, **overrides})


def image(name: str = "a.jpg", **fields: Any) -> ImageMessage:  # Any: any field's value
    """An image message by reference; each call names another picture unless an id is given."""
    if "payload" not in fields:
        fields.setdefault("source_uri", f"file:///pictures/{name}")
    fields.setdefault("id", new_token())
    fields.setdefault("recipe", RECIPE)
    return ImageMessage(submission=new_token(), trace=new_token(), name=name, **fields)


def source_at(uri: str, **fields: Any) -> SourceMessage:  # Any: any field's value
    """A source by its URI, of a submission of its own."""
    own = {"submission": new_token(), "trace": new_token(), "recipe": RECIPE, "part": 0}
    return SourceMessage(kind=SourceKind.FILES, uri=uri, **(own | fields))


def result_of(message: ImageMessage, **fields: Any) -> ResultMessage:  # Any: any field's value
    """A result for an image: without faces, unless told otherwise."""
    fields.setdefault("status", Status.NO_FACES)
    return ResultMessage(
        submission=message.submission,
        trace=message.trace,
        recipe=message.recipe,
        id=message.id,
        generation=message.generation,
        name=message.name,
        source_uri=message.source_uri,
        **fields,
    )


async def pass_on(works: Sequence[Work[ImageMessage]]) -> Sequence[Outcome]:
    """A detector that finds nothing in any picture."""
    return [Done((Output(result_of(work.message)),)) for work in works]


def failed_result(message: ImageMessage, failure: Failure, attempts: int, consumer: str) -> Message:
    """What a stage tells the writer of a dead letter."""
    return result_of(
        message,
        status=Status.FAILED,
        reason=failure.sentence,
        code=failure.reason,
        attempts=attempts,
        consumer=consumer,
    )


class Suite:
    """The streams of one test, looked at from outside."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.keys = Keys(settings.prefix)
        self.client: Redis = connect(settings.redis_url)
        self.producer = Producer(self.client, settings)

    async def entries(self, name: str) -> list[dict[bytes, bytes]]:
        answer = await self.client.xrange(self.keys.stream(name))
        return [fields for _, fields in entries_in(answer)]

    async def results(self) -> list[ResultMessage]:
        found = [decode_result(fields[b"m"]) for fields in await self.entries(RESULTS)]
        return [one for one in found if isinstance(one, ResultMessage)]

    async def length(self, name: str) -> int:
        return int(await self.client.xlen(self.keys.stream(name)))

    async def bytes_held(self, name: str) -> int:
        return int(await self.client.hget(self.keys.bytes, self.keys.stream(name)) or 0)

    async def pending(self, name: str, group: str) -> int:
        return int((await self.client.xpending(self.keys.stream(name), group))["pending"])

    async def given_back(self, name: str, group: str) -> int:
        """How many of the pending entries others may claim now."""
        lapsed = await self.client.xpending_range(
            self.keys.stream(name),
            group,
            "-",
            "+",
            1000,
            idle=int(self.settings.lease_seconds * 1000),
        )
        return len(lapsed)

    async def add_all(self, messages: Sequence[Message]) -> None:
        for message in messages:
            await self.producer.add(message)

    async def add_with_body(self, content: bytes) -> ImageMessage:
        payload = Payload.of(content)
        message = image(payload=payload)
        await self.producer.add(message, {payload: content})
        return message

    async def all_streams_empty(self) -> bool:
        return not any([await self.length(name) for name in (SOURCES, IMAGES, RESULTS)])

    async def left_behind(self) -> list[bytes]:
        """Keys that a finished suite should not leave."""
        kept = (b":rate", b":once:", b":bytes", b":sources", b":images", b":results", b":dead")
        keys = cast("list[bytes]", await self.client.keys("*"))  # this client decodes nothing
        return [key for key in keys if not any(part in key for part in kept)]


class Running:
    """A stage that runs as a task."""

    def __init__(self, stage: Stage[Any]) -> None:
        self.stage = stage
        self.stop = asyncio.Event()
        self.task = asyncio.create_task(stage.run(self.stop))

    async def drain(self) -> None:
        self.stop.set()
        await self.task


@asynccontextmanager
async def suite_on(url: str, **overrides: Any) -> AsyncIterator[Suite]:  # Any: setting values
    suite = Suite(settings_for(url, **overrides))
    try:
        yield suite
    finally:
        await suite.client.aclose()


@asynccontextmanager
async def running(
    suite: Suite,
    handle: Handler[ImageMessage] = pass_on,
    health: Health | None = None,
    **spec: Any,  # Any: fields of a StageSpec
) -> AsyncIterator[Running]:
    """A consumer of the image stream; drained at the end of the block unless it was before."""
    client = connect(suite.settings.redis_url)
    spec.setdefault("decode", ImageMessage.decode)
    described = StageSpec(
        name="detector", stream=IMAGES, handle=handle, failed=failed_result, **spec
    )
    async with open_stage_of(described, suite.settings, health or Health(), client) as stage:
        run = Running(stage)
        try:
            yield run
        finally:
            if not run.task.done():
                await run.drain()
            await client.aclose()


__all__ = ["DEAD", "IMAGES", "RESULTS", "SOURCES"]
