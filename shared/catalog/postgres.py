"""PostgreSQL behind SQLAlchemy: how connections are opened, tried before use, and given up."""

import asyncio
import itertools
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial

# Any, here and below: asyncpg and SQLAlchemy's adapter of it have no types.
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import structlog
from sqlalchemy import event
from sqlalchemy.engine import URL, AdaptedConnection, Dialect, ExceptionContext
from sqlalchemy.exc import InvalidatePoolError
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection
from sqlalchemy.util import await_only

from shared.catalog.failures import sqlstate

CONNECTIONS = 4
"""Kept open for one process, once they were needed; as many more for a moment."""

STATEMENTS = 100
"""Kept prepared by each connection, where no pooler is in between."""

CLOSE_SECONDS = 1
"""Longest wait for the server's part in closing a connection."""

POOL_SECONDS = 30
"""Longest wait for one of them."""

CONNECT_SECONDS = 10

PING_SECONDS = 3
"""Longest wait for an answer that costs the server nothing."""

IDLE_SECONDS = 3
"""A connection that rested for longer is tried before it is used: what lies between may have
forgotten it, and then nobody would say so."""

HOST_LOST_SECONDS = 10
"""After this time without an acknowledgement of TCP a connection is broken."""

BETTER_ANEW = ("08", "25", "26", "57P")
"""SQLSTATEs after which another connection may do better: a primary that became a standby, a
statement that a pooler has forgotten, a server that ends."""

log = structlog.get_logger()


class _Connection(asyncpg.Connection):  # type: ignore[misc]  # it has no types
    """One that can be closed although nobody answers."""

    async def close(self, *, timeout: float | None = None) -> None:  # noqa: ASYNC109 - as its parent
        """Say goodbye; after so long without an answer, leave."""
        with suppress(TimeoutError):
            await super().close(timeout=min(timeout or CLOSE_SECONDS, CLOSE_SECONDS))


class Postgres:
    """One server, and the pool of connections to it.

    Attributes:
        engine: SQLAlchemy's, which has the pool.
        pooled: whether a pooler was met, such as pgbouncer: one connection of ours is then served
            by another process of the server's in each transaction. So statements are not kept
            prepared, and nobody can be asked about such a process.
        silent: how many idle connections were found that did not answer.
    """

    def __init__(self, url: URL) -> None:
        tls = URL.create("postgresql", query=url.query).render_as_string(hide_password=False)
        given = {
            "dsn": tls,  # of the TLS options alone; the rest is given by name
            "connection_class": _Connection,
            "timeout": CONNECT_SECONDS,
            "statement_cache_size": 0,  # SQLAlchemy keeps them, by the names that it is given
            "server_settings": {"application_name": "faces", "timezone": "UTC"},
        }
        self.engine = create_async_engine(
            url.set(query={}),
            pool_size=CONNECTIONS,
            max_overflow=CONNECTIONS,
            pool_timeout=POOL_SECONDS,
            hide_parameters=True,
            connect_args=given,
        )
        self.pooled = False
        self.silent = 0
        self._names = itertools.count()
        _, named = self.engine.dialect.create_connect_args(url.set(query={}))
        self._options: dict[str, Any] = {**named, **given}
        engine = self.engine.sync_engine
        event.listen(engine, "do_connect", self._open)
        event.listen(engine, "checkin", _rests)
        event.listen(engine, "checkout", self._try)
        event.listen(engine, "handle_error", _replace)

    async def connect(self) -> Any:
        """A connection outside of the pool."""
        driver = await asyncpg.connect(**self._options)
        try:
            _watch_host(driver)
        except BaseException:  # whatever prevents that: no connection is left behind
            driver.terminate()
            raise
        return driver

    def _open(self, dialect: Dialect, entry: ConnectionPoolEntry, *_: object) -> Any:
        """A connection for the pool; behind a pooler its statements have no names.

        Its first questions, here and by SQLAlchemy, are asked before `Database` watches over it.
        """
        driver = await_only(self.connect())
        loop = asyncio.get_running_loop()
        entry.info["opening"] = loop.call_later(CONNECT_SECONDS, driver.terminate)
        if not self.pooled and await_only(_is_pooled(driver)):
            self.pooled = True
            log.info("the database is behind a pooler: statements are not kept prepared")
        assert dialect.dbapi is not None
        return dialect.dbapi.connect(
            async_creator_fn=partial(_itself, driver),
            prepared_statement_cache_size=0 if self.pooled else STATEMENTS,
            prepared_statement_name_func=str if self.pooled else self._name,
        )

    def _name(self) -> str:
        return f"faces_{next(self._names)}"

    def _try(
        self, connection: AdaptedConnection, entry: ConnectionPoolEntry, _: PoolProxiedConnection
    ) -> None:
        """Before a connection is used: whether it still leads to the server.

        Raises:
            InvalidatePoolError: it does not, so those that rest beside it are not trusted either.
        """
        if opening := entry.info.pop("opening", None):
            opening.cancel()
        rested_since = entry.info.get("rests")
        if rested_since is None:
            return
        driver = connection.driver_connection
        if driver.is_closed():  # the server has said so
            raise InvalidatePoolError
        if asyncio.get_running_loop().time() - rested_since < IDLE_SECONDS:
            return
        try:
            connection.run_async(ping)
        except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError) as error:
            self.silent += 1
            log.warning("an idle connection to the database is lost", reason=str(error)[:200])
            raise InvalidatePoolError from error


async def ping(driver: Any) -> None:
    """One question and its answer; where none comes the connection is broken off.

    Raises:
        asyncpg.PostgresError, asyncpg.InterfaceError, OSError: it leads nowhere.
    """
    with answering_within(driver, PING_SECONDS):
        try:
            await driver.execute("SELECT 1")
        except BaseException:  # also a cancellation: nobody waits for the answer any more
            driver.terminate()
            raise


@contextmanager
def answering_within(driver: Any, seconds: float) -> Iterator[None]:
    """Break a connection off after so long; who waits for its answer then sees it closed.

    The driver's own time limits first ask the server to cancel, and wait for that.

    Raises:
        TimeoutError: no answer came.
    """
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    timer = loop.call_at(until, driver.terminate)
    try:
        yield
    except Exception as error:  # whatever is said of a connection that was broken off here
        if loop.time() >= until:
            raise TimeoutError(f"no answer within {seconds:g} s") from error
        raise
    finally:
        timer.cancel()


async def _is_pooled(driver: Any) -> bool:
    """Whether another process serves us than the one that greeted us."""
    answer = await driver.execute(f"SELECT WHERE pg_backend_pid() = {driver.get_server_pid()}")
    return bool(answer == "SELECT 0")


def _watch_host(driver: Any) -> None:
    """Let TCP find out in seconds that the other host is gone; by default it takes hours."""
    # Private: the driver has no other way to its socket.
    at = driver._transport.get_extra_info("socket")
    if at is None or at.family not in (socket.AF_INET, socket.AF_INET6):
        return
    at.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (  # not every system has all of them
        ("TCP_KEEPIDLE", HOST_LOST_SECONDS // 2),
        ("TCP_KEEPINTVL", 2),
        ("TCP_KEEPCNT", 3),
        ("TCP_USER_TIMEOUT", HOST_LOST_SECONDS * 1000),
    ):
        with suppress(OSError):
            if option := getattr(socket, name, None):
                at.setsockopt(socket.IPPROTO_TCP, option, value)


async def _itself(driver: Any) -> Any:
    return driver


def _rests(_connection: object, entry: ConnectionPoolEntry) -> None:
    entry.info["rests"] = asyncio.get_running_loop().time()


def _replace(context: ExceptionContext) -> None:
    if sqlstate(context.original_exception).startswith(BETTER_ANEW):
        context.is_disconnect = True
