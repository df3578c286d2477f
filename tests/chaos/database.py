"""The PostgreSQL of a chaos run: a role with a password, and a proxy between it and the suite."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]  # has no types

from tests.chaos.servers import Postgres
from tests.support.proxy import Proxy
from tests.support.waiting import wait_until

ROLE = "faces"
DATABASE = "faces"
PASSWORD = "open sesame"
LOGIN_RULES = """\
host all postgres 127.0.0.1/32 trust
host all all 127.0.0.1/32 scram-sha-256
"""
NO_LOGIN_RULES = LOGIN_RULES.replace("all all", "all postgres") + (
    f"host all {ROLE} 127.0.0.1/32 reject\n"
)


class ChaosPostgres(Postgres):
    """A cluster on which the suite is nobody special, so that it can be refused like anybody."""

    def __init__(self) -> None:
        super().__init__()
        self.proxy = Proxy(self.port)

    @property
    def url(self) -> str:
        """What services are given: through the proxy."""
        password = PASSWORD.replace(" ", "%20")
        return f"postgresql://{ROLE}:{password}@127.0.0.1:{self.proxy.port}/{DATABASE}"

    @property
    def owner_url(self) -> str:
        """Past the proxy and past every refusal."""
        return f"postgresql://postgres@127.0.0.1:{self.port}/{DATABASE}"

    def configure(self) -> None:
        self.let_in()
        with (self.folder / "postgresql.conf").open("a") as config:
            config.write("fsync = off\n")  # no machine loses its power here

    async def open(self) -> None:
        """Make the cluster with its role and its database, and open the proxy."""
        await asyncio.to_thread(self.create)
        await self.sql(
            f"CREATE ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'",
            f"CREATE DATABASE {DATABASE} OWNER {ROLE}",
        )
        await self.proxy.__aenter__()

    async def close(self) -> None:
        """Close the proxy, and remove the cluster."""
        await self.proxy.__aexit__()
        await asyncio.to_thread(self.remove)

    def let_in(self) -> None:
        """Write the rules of who may log in; they count from the next reload or start on."""
        self._rules.write_text(LOGIN_RULES)

    def shut_out(self) -> None:
        """As `let_in`, without the suite."""
        self._rules.write_text(NO_LOGIN_RULES)

    @property
    def _rules(self) -> Path:
        return self.folder / "pg_hba.conf"

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[asyncpg.Connection]:
        """A connection of the cluster's owner, to no database of the suite."""
        connection = await asyncpg.connect(
            host="127.0.0.1", port=self.port, user="postgres", database="postgres", timeout=20
        )
        try:
            yield connection
        finally:
            await connection.close()

    async def sql(self, *statements: str) -> None:
        """What the cluster's owner does, each by itself."""
        async with self.connected() as connection:
            for statement in statements:
                await connection.execute(statement)

    async def cut_all(self) -> None:
        """End every session of the suite, and see that it has ended."""
        async with self.connected() as connection:
            ending = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = $1"

            async def none_is_left() -> bool:
                return not await connection.fetch(ending, ROLE)

            await wait_until(none_is_left, "sessions of PostgreSQL have ended")

    async def run(self, program: str, *arguments: str) -> None:
        """One of PostgreSQL's programs, on this cluster as its owner."""
        address = ("-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres")
        await asyncio.to_thread(self._run, program, *address, *arguments)
