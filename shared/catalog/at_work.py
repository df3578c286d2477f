"""Transactions that take long: the server is asked whether it is still at work on them.

An answer that was lost on its way is waited for in vain, and a large commit on a slow server looks
the same from here. The server knows: a process that rests while we wait for its answer has given
it, and one that is not there gives none.
"""

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import datetime

# Any: asyncpg has no types.
from typing import Any, NamedTuple

import asyncpg  # type: ignore[import-untyped]
import structlog
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.postgres import PING_SECONDS, Postgres, answering_within

LONG_SECONDS = 3
"""A transaction of the suite takes milliseconds; after this time it is asked about."""

ASK_SECONDS = 2
"""Between two questions. Whoever rests in both of them, unchanged, waits for us."""

STATEMENT_SECONDS = 120
"""Longest time that a statement may take, except those of migrations."""

CANNOT_ASK = (asyncpg.PostgresError, asyncpg.InterfaceError, OSError)

# As the one who logged in, since a role that is set may not see what the other login does.
BEGIN = "SET ROLE NONE"

ASK = """SELECT state_change,
    (state LIKE 'idle%' OR wait_event = 'ClientRead') AS rests,
    extract(epoch FROM clock_timestamp() - state_change)::float8 AS seconds
FROM pg_stat_activity WHERE pid = $1"""

log = structlog.get_logger()


class _Doing(NamedTuple):
    """What a process of the server's does: since when, whether it rests, and for how long.

    None where this user may not see it.
    """

    since: datetime | None
    rests: bool | None
    seconds: float | None


class AtWork:
    """Watches the transactions of one server that take long."""

    def __init__(self, server: Postgres) -> None:
        self._server = server

    @contextmanager
    def watched(self, connection: AsyncConnection, *, patient: bool) -> Iterator[None]:
        """Break off a connection whose answer will not come; its statement then ends as lost.

        `patient`: a statement may take as long as the server is at work on it.
        """
        driver = connection.sync_connection.connection.driver_connection  # type: ignore[union-attr]
        loop = asyncio.get_running_loop()
        asking: list[asyncio.Task[None]] = []
        timer = loop.call_later(
            LONG_SECONDS,
            lambda: asking.append(loop.create_task(self._ask_until_it_ends(driver, patient))),
        )
        try:
            yield
        finally:
            timer.cancel()
            for task in asking:
                task.cancel()

    async def _ask_until_it_ends(self, driver: Any, patient: bool) -> None:
        if self._server.pooled:  # nobody knows which process it is; TCP finds a host that is gone
            if not patient:
                await asyncio.sleep(STATEMENT_SECONDS - LONG_SECONDS)
                driver.terminate()
            return
        while not driver.is_closed():
            with suppress(*CANNOT_ASK):  # nor can it be told from a server that is away: wait
                await self._ask(driver, patient)
            await asyncio.sleep(ASK_SECONDS)

    async def _ask(self, driver: Any, patient: bool) -> None:
        """Ask over a connection of its own, until the answer is that there will be none."""
        pid, before = driver.get_server_pid(), None
        async with asyncio.timeout(PING_SECONDS):
            asking = await self._server.connect()
        try:
            while not driver.is_closed():
                with answering_within(asking, PING_SECONDS):
                    await asking.execute(BEGIN)
                    row = await asking.fetchrow(ASK, pid)
                doing = _Doing(*row) if row else None
                if doing is None or (doing.rests and before and doing.since == before.since):
                    log.warning("an answer of the database is lost: the connection is broken off")
                    driver.terminate()
                    await asking.execute(f"SELECT pg_terminate_backend({pid})")  # and its locks
                    return
                if not patient and (doing.seconds or 0) > STATEMENT_SECONDS:
                    await asking.execute(f"SELECT pg_cancel_backend({pid})")
                before = doing
                await asyncio.sleep(ASK_SECONDS)
        finally:
            asking.terminate()
