"""Payloads: set before the entry that owns them is added, read as long as its message claims."""

from collections.abc import Iterable, Sequence

import structlog
from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.messages import ATTACHMENT_LIMIT_BYTES, Payload
from shared.streams.keys import Keys
from shared.streams.refusals import Garbled, as_unreachable, is_misplaced
from shared.streams.replies import understood

PAYLOAD_EXPIRY_SECONDS = 3600
"""A payload whose entry was never added goes by itself after this long."""

log = structlog.get_logger()


class Payloads:
    """Reads the payloads of one suite; only the hand-off scripts write and remove them.

    What a message claims is not believed: no more bytes are read than it says, and a payload that
    has another size is lost. One that claims more than may travel through Redis is not read.
    """

    def __init__(self, client: Redis, keys: Keys, limit: int) -> None:
        """`limit`: most bytes of one picture, as FACES_INLINE_LIMIT_BYTES says."""
        self._client = client
        self._keys = keys
        self._limit = max(limit, ATTACHMENT_LIMIT_BYTES)

    async def get(self, payload: Payload) -> bytes | None:
        """The bytes; None where Redis has lost them.

        Raises:
            Unreachable: Redis does not answer.
        """
        return (await self.get_many([payload]))[0]

    async def get_many(self, payloads: Sequence[Payload]) -> list[bytes | None]:
        """The bytes of each, in order, in one round trip; errors as `get`."""
        with as_unreachable():
            read = iter(await self._read([one for one in payloads if self._may_be_read(one)]))
            return [
                _whole(one, next(read)) if one.size <= self._limit else None for one in payloads
            ]

    def _may_be_read(self, payload: Payload) -> bool:
        if payload.size <= self._limit:
            return True
        log.warning(
            "payload is not read: its message claims more than FACES_INLINE_LIMIT_BYTES",
            payload=payload.id,
            claims=payload.size,
            allowed=self._limit,
        )
        return False

    async def _read(self, payloads: Sequence[Payload]) -> list[bytes | RedisError | None]:
        """Of each as many bytes as it claims, and one more."""
        if not payloads:
            return []
        async with self._client.pipeline(transaction=False) as pipeline:
            for payload in payloads:
                pipeline.getrange(self._keys.payload(payload.id), 0, payload.size)
            contents = await pipeline.execute(raise_on_error=False)
        with understood():
            read = list(contents)
        if len(read) != len(payloads):
            raise Garbled("other than one reply a payload")
        return read


def _whole(payload: Payload, read: bytes | RedisError | None) -> bytes | None:
    """The bytes, if they are as many as the message says."""
    if isinstance(read, RedisError) and is_misplaced(read):
        log.warning("payload is no bytes", payload=payload.id)
        return None
    if isinstance(read, RedisError):
        raise read
    if not isinstance(read, bytes):
        raise Garbled("a payload that is no bytes")
    if read and len(read) != payload.size:
        log.warning("payload has another size than its message says", payload=payload.id)
    return read if len(read) == payload.size else None


async def set_payloads(
    client: Redis, keys: Keys, payloads: Iterable[tuple[Payload, bytes]]
) -> None:
    """Set new payloads, which expire until an entry owns them.

    One that is there is left: an earlier reply may be lost, and an entry own it already. Unless it
    has another size, or is of another type: then a stranger has put it there.

    Raises:
        RedisError: as the server answers.
    """
    new = list(payloads)
    if not new:
        return
    async with client.pipeline(transaction=False) as pipeline:
        for payload, content in new:
            key = keys.payload(payload.id)
            pipeline.set(key, content, ex=PAYLOAD_EXPIRY_SECONDS, nx=True)
        were_set = await pipeline.execute()
    there = [pair for pair, was_set in zip(new, were_set, strict=True) if not was_set]
    if there:
        await _replace_strange(client, keys, there)


async def _replace_strange(
    client: Redis, keys: Keys, there: Sequence[tuple[Payload, bytes]]
) -> None:
    async with client.pipeline(transaction=False) as pipeline:
        for payload, _ in there:
            pipeline.strlen(keys.payload(payload.id))
        sizes = await pipeline.execute(raise_on_error=False)
    async with client.pipeline(transaction=False) as pipeline:
        for (payload, content), size in zip(there, sizes, strict=True):
            if size != payload.size:
                pipeline.set(keys.payload(payload.id), content, ex=PAYLOAD_EXPIRY_SECONDS)
        await pipeline.execute()
