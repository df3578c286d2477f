"""`redis+sentinel://`: the primary that Redis Sentinel names, asked for at each new connection."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast
from urllib.parse import parse_qsl, unquote, urlencode

from redis.asyncio import Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.asyncio.sentinel import Sentinel, SentinelConnectionPool, SentinelManagedConnection
from redis.backoff import NoBackoff
from redis.exceptions import AuthenticationError, RedisError
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from shared.streams.connections import KEEPALIVE, Suited, Tcp, Tls
from shared.streams.refusals import Demoted, NoPrimary
from shared.streams.replies import NONSENSE

SCHEMES = ("redis+sentinel", "rediss+sentinel")
PORT = 26379
ANSWER_SECONDS = 2.0
"""How long one Sentinel may take to be reached, and to answer."""

_HOST = re.compile(r"(?P<host>\[[0-9A-Fa-f:.]+\]|[^\[\]:@]+)(:(?P<port>\d{1,5}))?")
_NAME = re.compile(r"[A-Za-z0-9._-]+")
"""Names of primaries, as Sentinel takes them."""


@dataclass(frozen=True)
class SentinelUrl:
    """What such a URL says.

    Attributes:
        sentinels: hosts and ports.
        name: of the primary, as the Sentinels know it.
        primary: options of a connection to the primary.
        login: options of a connection to a Sentinel.
    """

    sentinels: tuple[tuple[str, int], ...]
    name: str
    tls: bool
    primary: dict[str, Any] = field(repr=False)  # Any: options differ in type
    login: dict[str, Any] = field(repr=False)

    @classmethod
    def read(cls, url: str) -> "SentinelUrl":
        """Take it apart.

        Raises:
            ValueError: it cannot be read. Its text is not for people: it may quote a password.
        """
        scheme, _, rest = url.partition("://")
        location, _, query = rest.partition("?")
        authority, _, path = location.partition("/")
        user, at, hosts = authority.rpartition("@")
        name, _, database = path.partition("/")
        name = unquote(name)
        if "#" in url or not _NAME.fullmatch(name) or not re.fullmatch(r"\d*", database):
            raise ValueError("not SENTINEL,SENTINEL/NAME/DATABASE")
        options = dict(parse_qsl(query, keep_blank_values=True, strict_parsing=bool(query)))
        login = {
            option: options.pop(f"sentinel_{option}")
            for option in ("username", "password")
            if f"sentinel_{option}" in options
        }
        tls = scheme == "rediss+sentinel"
        # redis-py reads the rest, as it does where there is no Sentinel.
        plain = f"redis{'s' * tls}://{user}{at}primary/{database}?{urlencode(options)}"
        primary = dict(parse_url(plain))
        for replaced in ("host", "port", "connection_class"):
            primary.pop(replaced, None)
        return cls(tuple(map(_address, hosts.split(","))), name, tls, primary, login)


def _address(text: str) -> tuple[str, int]:
    found = _HOST.fullmatch(text)
    port = int(found["port"] or PORT) if found else 0
    if found is None or not 0 < port < 65536:
        raise ValueError("not HOST or HOST:PORT")
    return found["host"].strip("[]"), port


class Sentinels(Sentinel):
    """The Sentinels of one URL, asked all at once."""

    async def discover_master(self, service_name: str) -> tuple[str, int]:
        """Address of the primary, as the newest of the answers has it, of most Sentinels at least
        where most answer: one that was cut off for a while may still name the last primary.

        Raises:
            NoPrimary: none answers, or knows the name, or says that it is up.
        """
        asking = [asyncio.create_task(self._ask(one, service_name)) for one in self.sentinels]
        states: list[Mapping[str, Any]] = []
        refusals: list[Exception] = []
        unknown = 0
        try:
            for answer in asyncio.as_completed(asking):
                try:
                    state = await answer
                except (RedisError, *NONSENSE) as error:
                    refusals.append(error)
                    continue
                if state is None:
                    unknown += 1
                else:
                    states.append(state)
                if len(states) > len(asking) // 2:
                    break
        finally:
            for one in asking:
                one.cancel()
            await asyncio.gather(*asking, return_exceptions=True)
        newest = max((state["config-epoch"] for state in states), default=0)
        for state in states:
            if state["config-epoch"] == newest and self.check_master_state(
                cast("dict[str, Any]", state), service_name
            ):
                return str(state["ip"]), int(state["port"])
        raise NoPrimary(_why_none(service_name, bool(states), unknown, refusals))

    async def _ask(self, sentinel: Redis, name: str) -> Mapping[str, Any] | None:  # Any: as above
        """What a Sentinel says of the primary; None where it knows none of that name."""
        # redis-py types the answer for all protocols at once.
        answer = cast("dict[str, dict[str, Any]]", await sentinel.sentinel_masters())
        state = answer.get(name)
        if state is not None:
            for needed in ("config-epoch", "ip", "port", "is_master"):
                state[needed]  # a KeyError: this is no Sentinel's answer
        return state


def _why_none(name: str, is_known: bool, unknown: int, refusals: list[Exception]) -> str:
    if is_known:
        return f"Sentinel says that the primary {name} is down; waiting until it names another"
    if unknown:
        return (
            f"the Sentinels of FACES_REDIS_URL know no primary named {name}; "
            "check the name behind their addresses"
        )
    if any(isinstance(error, AuthenticationError) for error in refusals):
        return (
            "Sentinel refuses the user or password; "
            "check sentinel_username and sentinel_password in FACES_REDIS_URL"
        )
    return "no Sentinel of FACES_REDIS_URL answers; check their addresses and that they run"


class _ToPrimary(SentinelManagedConnection):
    """A connection that goes only to a primary, wherever that is when it is made."""

    async def connect_to(self, address: tuple[str, int]) -> None:
        """Connect to what the Sentinels named.

        Raises:
            NoPrimary: it cannot be reached; the text names the address, which may be one that
                only the Sentinels can reach.
        """
        try:
            # redis-py gives this method no types.
            await super().connect_to(address)  # type: ignore[no-untyped-call]
        except (RedisConnectionError, RedisTimeoutError, OSError) as error:
            if isinstance(error, NoPrimary | AuthenticationError) or error.__cause__ is not None:
                raise  # it says more than that: of a login, or of TLS
            host, port = address
            raise NoPrimary(
                f"Sentinel names {host}:{port} as the primary, which cannot be reached; waiting "
                "for a failover, else let the server announce an address that is reached from here "
                "(replica-announce-ip)"
            ) from None

    async def on_connect_check_health(self, check_health: bool = True) -> None:
        """Log in, and see that this is a primary: one that has been replaced, and does not know
        it yet, takes writes that nobody will ever see; a replica answers reads with old data."""
        await super().on_connect_check_health(check_health=check_health)
        await self.send_command("INFO", "replication", check_health=False)
        if b"role:master" not in await self.read_response():
            raise Demoted("Sentinel names a primary that is a replica; waiting for the failover")


class _TcpToPrimary(_ToPrimary, Tcp):
    """redis+sentinel://"""


class _TlsToPrimary(_ToPrimary, Tls):
    """rediss+sentinel://"""


class _Pool(SentinelConnectionPool):
    """Connections to the primary; those that lead elsewhere are not used again."""

    async def release(self, connection: Any) -> None:  # Any: redis-py gives it no type
        """Take a connection back."""
        if self.master_address not in (None, (connection.host, connection.port)):
            await connection.disconnect(nowait=True)
        await super().release(connection)

    async def aclose(self) -> None:
        """Close these, and those to the Sentinels."""
        await super().aclose()
        await self.sentinel_manager.aclose()


def has_replicas(client: Redis) -> bool:
    """Whether Sentinel may let a replica take the primary's place, with what that has by then."""
    return isinstance(client.connection_pool, SentinelConnectionPool)


def pool_of(url: SentinelUrl, **options: Any) -> SentinelConnectionPool:  # Any: options differ
    """Connections to the primary of a URL.

    Raises:
        ValueError, TypeError: an option of the URL has a value that cannot be used.
    """
    shared = {name: value for name, value in url.primary.items() if name.startswith("ssl_")}
    kind: type[Suited] = _TlsToPrimary if url.tls else _TcpToPrimary
    # redis-py gives the makers of both no types.
    sentinels = Sentinels(  # type: ignore[no-untyped-call]
        list(url.sentinels),
        sentinel_kwargs={
            **shared,
            **({"ssl": True} if url.tls else {}),
            **KEEPALIVE,
            **url.login,
            "protocol": 2,
            "socket_timeout": ANSWER_SECONDS,
            "socket_connect_timeout": ANSWER_SECONDS,
            "retry": Retry(NoBackoff(), 0),
        },
    )
    return _Pool(  # type: ignore[no-untyped-call]
        url.name, sentinels, connection_class=kind, **{**options, **url.primary}
    )
