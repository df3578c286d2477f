"""Connections to Redis, the payloads read through them, and what counts as "Redis is away"."""

import ssl
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hiredis
from pydantic import SecretStr
from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    MasterDownError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.errors import SettingsError, Unreachable
from shared.messages import Payload
from shared.streams.keys import Keys

CANNOT_BE_READ = (
    "FACES_REDIS_URL cannot be read: write redis://USER:PASSWORD@HOST:PORT/0 (rediss:// for TLS, "
    "with its options such as ?ssl_ca_certs=FILE) or unix://PATH; in a password, write "
    "% / # ? : @ as %25 %2F %23 %3F %3A %40"
)
"""Nothing of the URL is repeated, nor of the parser's words: they may quote its password."""

BLOCK_MS = 1000
"""How long a read waits for entries; a drain waits for it, since it must not be cancelled."""

REDIS_AWAY = (
    RedisConnectionError,  # also BusyLoadingError: still reading its append-only file
    RedisTimeoutError,  # not a ConnectionError in redis-py
    OutOfMemoryError,  # refuses additions until something is finished
    ReadOnlyError,  # a replica, during a failover
    ClusterDownError,
    MasterDownError,
    TryAgainError,
)
"""Errors that pass by waiting. The scripts are conditional, so trying again repeats nothing."""


def connect(url: SecretStr, *, timeout: float = 10) -> Redis:
    """A client that returns bytes and never resends by itself: who calls decides that.

    redis-py would otherwise resend any command whose reply was lost, also those that add.

    Raises:
        SettingsError: the URL cannot be read (its text is not shown; it may hold a password).
    """
    text = url.get_secret_value()
    # A Unix socket needs no probes to see that its other end is gone, and takes no such option.
    keepalive = {} if text.startswith("unix:") else {"socket_keepalive": True}
    try:
        client = Redis.from_url(
            text,
            decode_responses=False,
            protocol=2,
            socket_timeout=timeout,
            socket_connect_timeout=5,
            **keepalive,
            retry=Retry(NoBackoff(), 0),
            retry_on_error=[],
        )
        pack_quickly(client)
        # Reads all options, and connects to nothing yet.
        client.connection_pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, RedisError):
        raise SettingsError(CANNOT_BE_READ) from None
    for option in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        file = client.connection_pool.connection_kwargs.get(option)
        if file is not None and not Path(file).is_file():
            raise SettingsError(f"FACES_REDIS_URL: {option}={file}: there is no such file")
    return client


def describe(error: RedisError) -> str:
    """One line for people about why Redis does not do what it should."""
    match error:
        case AuthenticationError():
            return "Redis refuses the user or password of FACES_REDIS_URL"
        case BusyLoadingError():
            return "Redis is still loading its data"
        case OutOfMemoryError():
            return "Redis is full (maxmemory); waiting until results are written"
        case RedisTimeoutError():
            return "Redis does not answer in time"
        case RedisConnectionError():
            return _not_connected(error)
        case _:
            return f"Redis: {error}"


def _not_connected(error: RedisConnectionError) -> str:
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, ssl.SSLCertVerificationError):
            return (
                f"Redis' TLS certificate is refused ({cause.verify_message}); check ssl_ca_certs "
                "and the host name in FACES_REDIS_URL"
            )
        if isinstance(cause, ssl.SSLError):
            return f"Redis and TLS: {cause.reason or 'failed'}; check rediss:// in FACES_REDIS_URL"
        cause = cause.__cause__ or cause.__context__
    return "Redis cannot be reached; check FACES_REDIS_URL and that the server runs"


async def check(client: Redis) -> None:
    """Ask Redis for a sign of life.

    Raises:
        Unreachable: with one clear line, without the URL's password.
    """
    try:
        await client.ping()
    except RedisError as error:
        raise Unreachable(describe(error)) from None


class _Packing:
    """Laid over the connection class that fits the URL: redis-py packs in Python on asyncio, which
    for a script call of a thousand arguments costs more than all else that its caller does."""

    def pack_command(self, *args: Any) -> list[bytes]:  # Any: whatever redis-py takes
        """The command as bytes. A name of two words, such as XGROUP CREATE, is two arguments."""
        name, *rest = args
        words = name.encode().split() if isinstance(name, str) else name.split()
        return [hiredis.pack_command((*words, *rest))]


def pack_quickly(client: Redis) -> None:
    """Make the connections that this client opens from now on pack with hiredis."""
    pool = client.connection_pool
    kind = pool.connection_class
    pool.connection_class = type(f"Packing{kind.__name__}", (_Packing, kind), {})


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
