"""One transaction a method: `reads` and `writes` give a method its connection."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.database import Database

P = ParamSpec("P")
T = TypeVar("T")

DEADLOCKS = ("40P01", "40001")
"""SQLSTATEs of PostgreSQL: this transaction was given up for another's sake and may be repeated."""

DEADLOCK_TRIES = 5


class Access:
    """What has methods that are transactions of one database."""

    def __init__(self, database: Database) -> None:
        self._database = database


A = TypeVar("A", bound=Access)

# Any: the types that a coroutine takes and gives while it waits, which are asyncio's own.
Transaction = Callable[Concatenate[A, P], Coroutine[Any, Any, T]]


def reads(
    method: Callable[Concatenate[A, AsyncConnection, P], Awaitable[T]],
) -> Transaction[A, P, T]:
    """Call the method inside a transaction that sees one state and changes nothing."""

    @wraps(method)
    async def call(self: A, /, *arguments: P.args, **options: P.kwargs) -> T:
        async with self._database.reading() as connection:
            return await method(self, connection, *arguments, **options)

    return call


def writes(
    method: Callable[Concatenate[A, AsyncConnection, P], Awaitable[T]],
) -> Transaction[A, P, T]:
    """Call the method inside a transaction that is committed after it, or leaves nothing behind.

    It is called again after a deadlock, so it changes nothing but the database.
    """

    @wraps(method)
    async def call(self: A, /, *arguments: P.args, **options: P.kwargs) -> T:
        attempt = 1
        while True:
            try:
                async with self._database.writing() as connection:
                    return await method(self, connection, *arguments, **options)
            except Exception as error:
                if not _is_deadlock(error) or attempt == DEADLOCK_TRIES:
                    raise
            await asyncio.sleep(random.uniform(0, 0.02 * attempt))  # noqa: S311 - jitter
            attempt += 1

    return call


def _is_deadlock(error: Exception) -> bool:
    cause = error.__cause__
    return isinstance(cause, DBAPIError) and getattr(cause.orig, "sqlstate", None) in DEADLOCKS
