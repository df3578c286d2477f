"""A client of Redis, and a sign of life from it."""

import re
from pathlib import Path

from pydantic import SecretStr
from redis.asyncio import ConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from shared.errors import SettingsError
from shared.streams.connections import CONNECT_SECONDS, KEEPALIVE, SUITED
from shared.streams.refusals import as_unreachable
from shared.streams.replies import Client
from shared.streams.reply_bounds import bounded_parser
from shared.streams.sentinel import SCHEMES, SentinelUrl, pool_of

CANNOT_BE_READ = (
    "FACES_REDIS_URL cannot be read: write redis://USER:PASSWORD@HOST:PORT/0 (rediss:// for TLS, "
    "with its options such as ?ssl_ca_certs=FILE), unix://PATH, or "
    "redis+sentinel://USER:PASSWORD@SENTINEL:PORT,SENTINEL:PORT/NAME/0 with the name of the "
    "primary; in a password, write % / # ? : @ as %25 %2F %23 %3F %3A %40"
)
"""Nothing of the URL is repeated, nor of the parser's words: they may quote its password."""

BLOCK_MS = 1000
"""How long a read waits for entries; a drain waits for it, since it must not be cancelled."""

SILENT_SECONDS = 5
"""How long beyond that an answer may take; a connection that is silent for longer is given up."""

CONNECTIONS_AT_MOST = 2048
"""Commands under way at a time are bounded by a stage's concurrency (1,024 slots), not here: what
a pool refuses would look as if Redis were away."""

_DATABASE = re.compile(r"rediss?://[^/?]*(/\d*)?(\?.*)?")


def connect(url: SecretStr, *, timeout: float = 10, reply_limit: int | None = None) -> Redis:
    """A client that returns bytes and never resends by itself: who calls decides that.

    redis-py would otherwise resend any command whose reply was lost, also those that add. A reply
    of more than `reply_limit` bytes is not taken in: see `shared.streams.reply_bounds`.

    Raises:
        SettingsError: the URL cannot be read (its text is not shown; it may hold a password).
    """
    try:
        pool = _pool(url.get_secret_value(), timeout, reply_limit)
        # Reads all options, and connects to nothing yet.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except (ValueError, TypeError, RedisError):
        raise SettingsError(CANNOT_BE_READ) from None
    for option in ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile"):
        file = pool.connection_kwargs.get(option)
        if file is not None and not Path(file).is_file():
            raise SettingsError(f"FACES_REDIS_URL: {option}={file}: there is no such file")
    return Client.from_pool(pool)


def _pool(text: str, timeout: float, reply_limit: int | None) -> ConnectionPool:
    scheme = text.partition(":")[0]
    options = {
        "decode_responses": False,
        "protocol": 2,
        "socket_timeout": timeout,
        "socket_connect_timeout": CONNECT_SECONDS,
        **({} if scheme == "unix" else KEEPALIVE),
        "retry": Retry(NoBackoff(), 0),
        "retry_on_error": [],
        "max_connections": CONNECTIONS_AT_MOST,
        **({} if reply_limit is None else {"parser_class": bounded_parser(reply_limit)}),
    }
    if not text.isprintable():
        raise ValueError("a control character, as of a line's end")
    if scheme in SCHEMES:
        return pool_of(SentinelUrl.read(text), **options)
    if scheme != "unix" and not _DATABASE.fullmatch(text):
        raise ValueError("a database is a number")  # redis-py would take 0 for a word
    pool = ConnectionPool.from_url(text, **options)
    pool.connection_class = SUITED[pool.connection_class]
    return pool


async def check(client: Redis) -> None:
    """Ask Redis for a sign of life.

    Raises:
        Unreachable: with one clear line, without the URL's password.
    """
    with as_unreachable():
        await client.ping()
