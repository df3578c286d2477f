"""Reading payloads: the bytes of pictures that travel through Redis."""

from collections.abc import Sequence

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.errors import Unreachable
from shared.messages import Payload
from shared.streams.client import describe
from shared.streams.keys import Keys


class Payloads:
    """Reads the payloads of one suite; only the hand-off scripts write and remove them."""

    def __init__(self, client: Redis, keys: Keys) -> None:
        self._client = client
        self._keys = keys

    async def get(self, payload: Payload) -> bytes | None:
        """The bytes; None where Redis has lost them.

        Raises:
            Unreachable: Redis does not answer.
        """
        return (await self.get_many([payload]))[0]

    async def get_many(self, payloads: Sequence[Payload]) -> list[bytes | None]:
        """The bytes of each, in order, in one round trip; errors as `get`."""
        try:
            async with self._client.pipeline(transaction=False) as pipeline:
                for payload in payloads:
                    pipeline.get(self._keys.payload(payload.id))
                return list(await pipeline.execute())
        except RedisError as error:
            raise Unreachable(describe(error)) from None
