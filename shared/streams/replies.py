"""What replies of Redis may look like; any other comes from no Redis, and counts as an outage."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

from redis.asyncio import Redis
from redis.asyncio.client import Pipeline

from shared.streams.refusals import Garbled

NONSENSE = (TypeError, ValueError, KeyError, IndexError, AttributeError)
"""What reading a reply of the wrong shape raises, in redis-py and here."""

DIGEST_LENGTH = 40
"""Of a script: SHA-1 in hexadecimal digits."""


@contextmanager
def understood() -> Iterator[None]:
    """For code that only reads replies.

    Raises:
        Garbled: it could not make sense of one.
    """
    try:
        yield
    except NONSENSE as error:
        raise Garbled("a reply of the wrong shape") from error


class _Understands:
    """Laid over a client of redis-py, which reads the replies of most commands itself."""

    async def parse_response(
        self, connection: Any, command_name: Any, **options: Any
    ) -> Any:  # Any: as its parent, which has no types
        """One reply.

        Raises:
            Garbled: it makes no sense; the connection that it came by is dropped.
        """
        try:
            return await super().parse_response(  # type: ignore[misc]
                connection, command_name, **options
            )
        except NONSENSE as error:
            await connection.disconnect(nowait=True)
            raise Garbled(f"a reply to {command_name!s:.40} of the wrong shape") from error


class _Pipeline(_Understands, Pipeline):  # type: ignore[misc]  # redis-py declares one method twice
    """Several commands, sent together."""

    def annotate_exception(self, *_: object) -> None:
        """Leave a refusal as it came: redis-py puts the command before it, with a picture's bytes,
        and hides the word that says what the refusal is."""


class Client(_Understands, Redis):  # type: ignore[misc]  # as above
    """A client of redis-py that tells nonsense from a reply."""

    async def script_load(self, script: Any) -> Any:  # Any: as its parent, which has no types
        """The digest of a script, which redis-py runs it by from then on.

        Raises:
            Garbled: it is none.
        """
        digest = await super().script_load(script)
        if not isinstance(digest, str | bytes) or len(digest) != DIGEST_LENGTH:
            raise Garbled("a digest of the wrong shape")
        return digest

    def pipeline(self, transaction: bool = True, shard_hint: str | None = None) -> Pipeline:
        """Several commands, sent together."""
        return _Pipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class Script(Protocol):
    """One script; sends its digest, and its text where the server does not know it yet."""

    async def __call__(
        self, keys: Sequence[str | bytes | int], args: Sequence[str | bytes | int]
    ) -> Any:  # Any: each script's answer has its own shape
        """Run it: `keys` and `args` in the order that the script's first lines give.

        Raises:
            Garbled: the answer has not the shape that `SHAPES` gives.
        """


def _number(reply: Any) -> bool:
    return isinstance(reply, int)


def _numbers(reply: Any) -> bool:
    return isinstance(reply, list) and all(isinstance(one, int) for one in reply)


def _exactly(count: int) -> Callable[[Any], bool]:
    """So many numbers."""
    return lambda reply: _numbers(reply) and len(reply) == count


def _scanned(reply: Any) -> bool:
    """Where the next scan begins, and how many were found."""
    return (
        isinstance(reply, list)
        and len(reply) == 2
        and isinstance(reply[0], bytes)
        and isinstance(reply[1], int)
    )


def _ids(reply: Any) -> bool:
    return isinstance(reply, list) and all(_is_id(one) for one in reply)


def _claimed(reply: Any) -> bool:
    """Where the next scan begins; then each entry: id, deliveries, failed attempts, fields."""
    return (
        isinstance(reply, list)
        and bool(reply)
        and _is_id(reply[0])
        and all(isinstance(one, list) and len(one) == 4 and _is_entry(*one) for one in reply[1:])
    )


def _is_entry(entry_id: Any, deliveries: Any, failed: Any, fields: Any) -> bool:
    return (
        _is_id(entry_id)
        and isinstance(deliveries, int)
        and isinstance(failed, int)
        and isinstance(fields, list)
        and len(fields) % 2 == 0
    )


def _is_id(value: Any) -> bool:
    if not isinstance(value, bytes):
        return False
    ms, dash, number = value.partition(b"-")
    return dash == b"-" and ms.isdigit() and number.isdigit()


SHAPES: dict[str, Callable[[Any], bool]] = {
    "bring_back": _scanned,
    "claim": _claimed,
    "give_back": _ids,
    "handoff": _numbers,
    "mend": _numbers,
    "renew": _ids,
    "set_back": _exactly(3),
    "shed": _numbers,
    "watch": _exactly(4),
}
"""Of the scripts in `lua/` that do not answer with one number. Any: whatever Redis sent."""


class Checked:
    """A script whose answers have the shape that they should have."""

    def __init__(self, client: Redis, name: str, script: Script) -> None:
        self._client = client
        self._name = name
        self._script = script
        self._is_well_formed = SHAPES.get(name, _number)

    async def __call__(
        self, keys: Sequence[str | bytes | int], args: Sequence[str | bytes | int]
    ) -> Any:  # Any: as `Script`
        """Run it; see `Script`."""
        reply = await self._script(keys, args)
        if not self._is_well_formed(reply):
            # Which connection it came by is not known any more.
            await self._client.connection_pool.disconnect(inuse_connections=False)
            raise Garbled(f"an answer of the script {self._name} of the wrong shape")
        return reply
