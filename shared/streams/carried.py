"""What the streams and their waiting sets carry, read from outside of the stages; and what they do
not carry any more though it counts as under way.

Nothing stands still meanwhile. An entry goes on to the next stream, which is read later, or comes
back from a waiting set to the end of its stream, where a look may just miss it. So there are two
looks, one after the other: to be missed by both, an entry would have to come back twice within
milliseconds, and waits are longer than that.
"""

import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import cast

from pydantic import BaseModel, ValidationError
from redis.asyncio import Redis

from shared.errors import FacesError
from shared.messages import SourceFailedMessage, SourceMessage, decode_result
from shared.streams.entries import MESSAGE_FIELD, behind
from shared.streams.keys import RESULTS, SOURCES, Keys
from shared.streams.topology import STREAMS, StreamKind, carrying_images

PAGE = 500
"""Entries read, or marks taken away, by one command: a few milliseconds of Redis."""

LOOKS = 2


async def messages(client: Redis, keys: Keys, name: str) -> AsyncIterator[bytes]:
    """The messages of a stream, and those that were put off from it; one that moves may be seen
    twice, or not at all."""
    after: str | None = "-"
    while after is not None:
        answer = await client.xrange(keys.stream(name), after, "+", count=PAGE)
        # redis-py types the answer for all protocols at once; with protocol 2 it is this.
        page = cast("list[tuple[bytes, dict[bytes, bytes]]]", answer or [])
        for _, fields in page:
            yield fields.get(MESSAGE_FIELD, b"")
        after = behind(page[-1][0]) if len(page) == PAGE else None
    async for _, waiting in client.hscan_iter(keys.waiting(name), count=PAGE):
        yield _waiting_message(waiting)


def _waiting_message(record: bytes) -> bytes:
    """The message of an entry that was put off; none where a stranger has written over it."""
    try:
        return str(json.loads(record)["m"]).encode()
    except (ValueError, TypeError, KeyError, RecursionError):
        return b""


async def forget_lost_in_flight(client: Redis, keys: Keys) -> int:
    """Forget that images are under way which nothing carries; how many.

    What a destroyed entry leaves in flight (a stream that was deleted or trimmed, a failover) would
    keep its image from ever being added again. If one that does move is taken for lost after all,
    its image may be searched twice; its row ends by whichever result comes first.

    Raises:
        RedisError: as the server answers.
    """
    lost = {name async for name in client.sscan_iter(keys.in_flight, count=PAGE)}
    for _ in range(LOOKS):
        for stream in carrying_images() if lost else ():
            async for encoded in messages(client, keys, stream):
                lost.discard(_in_flight(STREAMS[stream], encoded).encode())
    names = list(lost)
    for start in range(0, len(names), PAGE):
        await client.srem(keys.in_flight, *names[start : start + PAGE])
    return len(names)


async def more_in_flight_than_carried(client: Redis, keys: Keys) -> bool:
    """Whether something is surely lost: a look at lengths alone, which costs next to nothing."""
    streams = carrying_images()
    async with client.pipeline(transaction=True) as pipeline:
        pipeline.scard(keys.in_flight)
        for name in streams:
            pipeline.xlen(keys.stream(name))
            pipeline.zcard(keys.due(name))
        in_flight, *carried = await pipeline.execute()
    return bool(in_flight > sum(carried))


@dataclass
class SourcesUnderWay:
    """What is still to be expanded: the images that were sent along, by id and recipe, and the
    submissions that have a source, or a refused one's result, on its way. `unreadable` sources
    are there as well, of a newer program: they may be anybody's."""

    images: set[tuple[str, str]] = field(default_factory=set)
    submissions: set[str] = field(default_factory=set)
    unreadable: bool = False

    @classmethod
    async def read(cls, client: Redis, keys: Keys) -> "SourcesUnderWay":
        """As they are now.

        Raises:
            RedisError: as the server answers.
        """
        found = cls()
        for _ in range(LOOKS):
            async for encoded in messages(client, keys, SOURCES):
                found._add_source(encoded)
        async for encoded in messages(client, keys, RESULTS):
            found._add_result(encoded)
        return found

    def _add_source(self, encoded: bytes) -> None:
        try:
            message = SourceMessage.decode(encoded)
        except FacesError:
            self.unreadable = True
            return
        self.submissions.add(message.submission)
        self.images.update((image.id, message.recipe_id) for image in message.images)

    def _add_result(self, encoded: bytes) -> None:
        try:
            message = decode_result(encoded)
        except FacesError:
            return
        if isinstance(message, SourceFailedMessage):
            self.submissions.add(message.submission)

    def has_image(self, image: str, recipe: str) -> bool:
        """Whether ingest may be about to hand this image on."""
        return self.unreadable or (image, recipe) in self.images

    def without(self, submissions: Iterable[str]) -> set[str]:
        """Those of these submissions of which no source is under way."""
        return set() if self.unreadable else set(submissions) - self.submissions


class _Named(BaseModel):
    """What names an image in flight, in any version of its message that this one cannot read."""

    id: str = ""
    recipe_id: str = ""
    generation: int = 1


def _in_flight(kind: StreamKind, encoded: bytes) -> str:
    """The name under which an entry's image is in flight; '' where it has none."""
    assert kind.decode is not None, "a stream that carries images"
    try:
        return kind.decode(encoded).in_flight
    except FacesError:
        pass
    try:
        named = _Named.model_validate_json(encoded)
    except ValidationError:
        return ""
    return f"{named.id}:{named.recipe_id}:{named.generation}"
