"""Why Redis does not do what it should, in one line for people that says what to do."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from redis.exceptions import (
    AuthenticationError,
    BusyLoadingError,
    ClusterDownError,
    InvalidResponse,
    MasterDownError,
    MovedError,
    NoPermissionError,
    OutOfMemoryError,
    ReadOnlyError,
    RedisError,
    ResponseError,
    TryAgainError,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.errors import Unreachable


class NoPrimary(RedisConnectionError):
    """There is no primary to connect to now; the text is for people."""


class Demoted(NoPrimary):
    """This connection leads to what is no primary any more; it was dropped, the next one asks."""


class Garbled(RedisError):
    """A reply of a shape that its command never has; nothing that comes from there is trusted."""


_GARBLED = (
    "what answers at FACES_REDIS_URL does not speak as Redis does; check its host and port, and "
    "whatever stands between"
)

_BY_KIND: tuple[tuple[type[RedisError], str | Callable[[RedisError], str]], ...] = (
    (NoPrimary, str),
    (AuthenticationError, "Redis refuses the user or password of FACES_REDIS_URL"),
    (BusyLoadingError, "Redis is still loading its data"),
    (OutOfMemoryError, "Redis is full (maxmemory); waiting until results are written"),
    (RedisTimeoutError, "Redis does not answer in time"),
    (InvalidResponse, _GARBLED),
    (Garbled, _GARBLED),
    (
        NoPermissionError,
        lambda error: (
            f"Redis does not let the user of FACES_REDIS_URL do this ({error}); "
            "give it the rights that docs/operations.md lists"
        ),
    ),
    (
        ReadOnlyError,
        "Redis is a read-only replica; waiting for the failover to end, else let FACES_REDIS_URL "
        "name the primary",
    ),
    (MasterDownError, "Redis is a replica that has lost its primary; waiting for the failover"),
    (
        MovedError,
        "FACES_REDIS_URL names a node of a Redis Cluster that does not hold these keys; name a "
        "server that is in no cluster",
    ),
    (ClusterDownError, "Redis is in a cluster that is down"),
    (TryAgainError, "Redis is in a cluster that is moving keys"),
)
"""The first kind that fits, what it says, or what makes that of the error."""

_BY_CODE = {
    "MISCONF": "Redis cannot save to its disk and refuses to change anything (MISCONF); make room "
    "there, or see its log",
    "NOREPLICAS": "Redis has fewer replicas than min-replicas-to-write asks for, and refuses to "
    "change anything (NOREPLICAS); waiting for a replica",
    "BUSY": "Redis is busy with a script that somebody runs; SCRIPT KILL ends it",
    "UNKILLABLE": "Redis is busy with a script that nothing can end (UNKILLABLE); restart it",
    "UNBLOCKED": "Redis has become a replica; waiting for the failover to end",
}
"""Refusals that redis-py has no class for, by the word that they begin with."""


def describe(error: RedisError) -> str:
    """One line for people about why Redis does not do what it should."""
    for kind, text in _BY_KIND:
        if isinstance(error, kind):
            return text if isinstance(text, str) else text(error)
    if isinstance(error, RedisConnectionError):
        return _not_connected(error)
    return _BY_CODE.get(str(error).partition(" ")[0], f"Redis: {error}")


def is_demoted(error: ResponseError) -> bool:
    """Whether another server may be the primary now: the next connection asks which.

    In Redis 6.2 a script passes on what it was refused behind words of its own.
    """
    text = str(error)
    return (
        isinstance(error, ReadOnlyError | MasterDownError)
        or "-READONLY" in text
        or text.startswith(("UNBLOCKED", "NOREPLICAS"))
    )


def _not_connected(error: RedisConnectionError) -> str:
    if "max number of clients" in str(error):
        return "Redis takes no more connections (maxclients)"
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


@contextmanager
def as_unreachable() -> Iterator[None]:
    """For whoever does not wait: an error of Redis is `Unreachable`, in one line for people."""
    try:
        yield
    except RedisError as error:
        raise Unreachable(describe(error)) from None
