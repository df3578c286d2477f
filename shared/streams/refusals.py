"""Why Redis does not do what it should, in one line for people that says what to do."""

import re
import ssl
from collections.abc import Iterator
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


class Misplaced(RedisError):
    """A key that should be a stream holds something else; the text is for people."""

    def __init__(self, *keys: str) -> None:
        super().__init__(
            f"Redis keys that should be streams hold something else: {', '.join(keys)}; rename or "
            f"delete them"
        )


class Demoted(NoPrimary):
    """This connection leads to what is no primary any more; it was dropped, the next one asks."""


class Garbled(RedisError):
    """A reply of a shape that its command never has; nothing that comes from there is trusted."""


_GARBLED = (
    "what answers at FACES_REDIS_URL does not speak as Redis does; check its host and port, and "
    "whatever stands between"
)
_BY_CODE = {
    "WRONGPASS": "Redis refuses the user or password of FACES_REDIS_URL",
    "LOADING": "Redis is still loading its data",
    "OOM": "Redis is full (maxmemory); waiting until results are written",
    "NOPERM": "Redis does not let the user of FACES_REDIS_URL do all that is needed; give it the "
    "rights that SECURITY.md lists",
    "READONLY": "Redis is a read-only replica; waiting for the failover to end, else let "
    "FACES_REDIS_URL name the primary",
    "MISCONF": "Redis cannot save to its disk and refuses to change anything (MISCONF); make room "
    "there, or see its log",
    "NOREPLICAS": "Redis has fewer replicas than min-replicas-to-write asks for, and refuses to "
    "change anything (NOREPLICAS); waiting for a replica",
    "BUSY": "Redis is busy with a script that somebody runs; SCRIPT KILL ends it",
    "UNKILLABLE": "Redis is busy with a script that nothing can end (UNKILLABLE); restart it",
    "UNBLOCKED": "Redis has become a replica; waiting for the failover to end",
    "MASTERDOWN": "Redis is a replica that has lost its primary; waiting for the failover to end",
    "MOVED": "FACES_REDIS_URL names a node of a Redis Cluster that does not hold these keys; name "
    "a server that is in no cluster",
    "CLUSTERDOWN": "Redis is in a cluster that is down",
    "TRYAGAIN": "Redis is in a cluster that is moving keys",
}
"""What a refusal says, by the word that it begins with."""

_BY_KIND: tuple[tuple[type[RedisError], str], ...] = (
    (AuthenticationError, _BY_CODE["WRONGPASS"]),
    (BusyLoadingError, _BY_CODE["LOADING"]),
    (OutOfMemoryError, _BY_CODE["OOM"]),
    (NoPermissionError, _BY_CODE["NOPERM"]),
    (ReadOnlyError, _BY_CODE["READONLY"]),
    (MasterDownError, _BY_CODE["MASTERDOWN"]),
    (MovedError, _BY_CODE["MOVED"]),
    (ClusterDownError, _BY_CODE["CLUSTERDOWN"]),
    (TryAgainError, _BY_CODE["TRYAGAIN"]),
    (RedisTimeoutError, "Redis does not answer in time"),
    (InvalidResponse, _GARBLED),
    (Garbled, _GARBLED),
)
"""What redis-py has classes for; it takes their words away. The first that fits."""

_IN_SCRIPT = re.compile(r"(?: script: [0-9a-f]{40}\b.*)|(?:@user_script:\d+: )", re.DOTALL)
"""What Redis adds where a script was refused something."""


def describe(error: RedisError) -> str:
    """One line for people about why Redis does not do what it should."""
    if isinstance(error, NoPrimary | Misplaced):
        return str(error)
    for kind, text in _BY_KIND:
        if isinstance(error, kind):
            return text
    if isinstance(error, RedisConnectionError):
        return _not_connected(error)
    code = _code(str(error))
    if code in _BY_CODE:
        return _BY_CODE[code]
    said = " ".join(_IN_SCRIPT.sub("", str(error)).split())
    return f"Redis: {said}"


def _code(text: str) -> str:
    """The word that a refusal begins with, also where a script passes it on.

    Redis 6.2 puts words of its own before it; of rights, Redis 7 has a sentence without the word.
    """
    if "can't run this command" in text:
        return "NOPERM"
    passed_on = re.search(r": -([A-Z]+)\b", text)
    return passed_on[1] if passed_on else text.partition(" ")[0]


def is_lasting(error: RedisError) -> bool:
    """Whether waiting alone will hardly mend it: whoever waits at a terminal is told at once."""
    code = "NOPERM" if isinstance(error, NoPermissionError) else _code(str(error))
    known = code in _BY_CODE or any(isinstance(error, kind) for kind, _ in _BY_KIND)
    passes = known or isinstance(error, RedisConnectionError)
    return code == "NOPERM" or isinstance(error, MovedError) or not passes


def is_misplaced(error: RedisError) -> bool:
    """Whether a key holds another type than a command needs."""
    return isinstance(error, ResponseError) and "WRONGTYPE" in str(error)


def is_demoted(error: ResponseError) -> bool:
    """Whether another server may be the primary now: the next connection asks which."""
    return isinstance(error, ReadOnlyError | MasterDownError) or _code(str(error)) in (
        "READONLY",
        "UNBLOCKED",
        "NOREPLICAS",
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
