"""Fill a stream quickly with any number of messages, as the scripts of delivery would leave it."""

import itertools
from collections.abc import Iterator

import redis

from shared.messages import ImageMessage, Payload, new_token
from shared.recipe import Recipe
from shared.streams.entries import weight_of
from shared.streams.keys import IMAGES, Keys

AT_ONCE = 1000
PAYLOADS_AT_ONCE = 50

RECIPE = Recipe(model="yunet", model_version="104ee26c71d5")
SUBMISSION = new_token()
TRACE = new_token()


def messages(count: int, payload_bytes: int = 0, entry_bytes: int = 0) -> Iterator[ImageMessage]:
    """Image messages with a payload of so many bytes, or by reference, padded to `entry_bytes`."""
    for number in range(count):
        name = f"album-{number // 1000:05}/picture-{number:07}.jpg"
        where: dict[str, object] = {"source_uri": f"file:///pictures/{name}"}
        if payload_bytes:
            where = {"payload": Payload(id=new_token(), size=payload_bytes)}
        fields = {"id": new_token(), "name": name, "recipe": RECIPE, **where}
        message = ImageMessage.model_validate(
            {"submission": SUBMISSION, "trace": TRACE, "source_version": "1-1", **fields}
        )
        if (missing := entry_bytes - len(message.encode())) > 0 and not payload_bytes:
            longer = f"{message.source_uri}?{'x' * (missing - 1)}"
            message = message.model_copy(update={"source_uri": longer})
        yield message


def fill(
    client: redis.Redis, prefix: str, count: int, payload_bytes: int = 0, entry_bytes: int = 0
) -> None:
    """Add `count` images with their payloads, in-flight marks and counters."""
    keys = Keys(prefix)
    stream, content = keys.stream(IMAGES), b"x" * payload_bytes
    coming = messages(count, payload_bytes, entry_bytes)
    while some := list(itertools.islice(coming, PAYLOADS_AT_ONCE if payload_bytes else AT_ONCE)):
        weight = 0
        with client.pipeline(transaction=False) as pipeline:
            for message in some:
                encoded = message.encode()
                weighs = weight_of(message, encoded)
                weight += weighs
                if message.payload:
                    pipeline.set(keys.payload(message.payload.id), content)
                pipeline.xadd(stream, {b"m": encoded, b"n": weighs})
            pipeline.sadd(keys.in_flight, *(message.in_flight for message in some))
            pipeline.hincrby(keys.bytes, stream, weight)
            pipeline.execute()
