"""Acts on PostgreSQL: on its server, on its logins, on its database, on its connections."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg  # type: ignore[import-untyped]  # has no types

from tests.chaos.acts.act import Act, Event, Needs
from tests.chaos.database import DATABASE, PASSWORD, ROLE, ChaosPostgres
from tests.chaos.suite import Suite
from tests.support.waiting import wait_until

AWAY = f"{DATABASE}_away"
RESTORED = f"{DATABASE}_restored"
BLACK_HOLE_LIMIT = 10.0
"""Seconds: that a connection is silent is found out by a time limit."""


def _of(suite: Suite) -> ChaosPostgres:
    assert suite.postgres is not None
    return suite.postgres


@asynccontextmanager
async def stopped(suite: Suite, _: Event) -> AsyncIterator[None]:
    """Stopped at once, as by a crash."""
    await asyncio.to_thread(_of(suite).stop)
    yield
    await asyncio.to_thread(_of(suite).start)


@asynccontextmanager
async def login_refused(suite: Suite, event: Event) -> AsyncIterator[None]:
    """Another password (28P01), a rule of pg_hba.conf (28000), or a role without login (28000)."""
    postgres = _of(suite)
    variant = event.one_of(("password", "rules", "role"))
    if variant == "password":
        await postgres.sql(f"ALTER ROLE {ROLE} PASSWORD 'changed'")
    elif variant == "rules":
        postgres.shut_out()
        await postgres.sql("SELECT pg_reload_conf()")
    else:
        await postgres.sql(f"ALTER ROLE {ROLE} NOLOGIN")
    await postgres.cut_all()
    yield
    postgres.let_in()
    await postgres.sql(f"ALTER ROLE {ROLE} LOGIN PASSWORD '{PASSWORD}'", "SELECT pg_reload_conf()")


@asynccontextmanager
async def too_many(suite: Suite, _: Event) -> AsyncIterator[None]:
    """Too many connections (53300) for the role, whatever their number."""
    postgres = _of(suite)
    await postgres.sql(f"ALTER ROLE {ROLE} CONNECTION LIMIT 0")
    await postgres.cut_all()
    yield
    await postgres.sql(f"ALTER ROLE {ROLE} CONNECTION LIMIT -1")


@asynccontextmanager
async def read_only(suite: Suite, _: Event) -> AsyncIterator[None]:
    """Nothing may be written (25006), as on a standby."""
    postgres = _of(suite)
    await postgres.sql(f"ALTER ROLE {ROLE} SET default_transaction_read_only = on")
    await postgres.cut_all()
    yield
    await postgres.sql(f"ALTER ROLE {ROLE} RESET default_transaction_read_only")
    await postgres.cut_all()


@asynccontextmanager
async def database_gone(suite: Suite, event: Event) -> AsyncIterator[None]:
    """No such database (3D000): it has another name, or is dropped and restored from a dump."""
    postgres = _of(suite)
    await postgres.sql(f"ALTER DATABASE {DATABASE} ALLOW_CONNECTIONS false")
    await postgres.cut_all()
    await wait_until(lambda: _renamed(postgres), "the database has another name")
    if event.one_of(("renamed", "restored")) == "renamed":
        yield
        await postgres.sql(f"ALTER DATABASE {AWAY} RENAME TO {DATABASE}")
        return
    dump = str(postgres.folder / "dump")
    await postgres.run("pg_dump", "-Fc", "-f", dump, AWAY)
    await postgres.sql(f"DROP DATABASE {AWAY}")
    yield
    await postgres.sql(f"CREATE DATABASE {RESTORED} OWNER {ROLE}")
    await postgres.run("pg_restore", "-d", RESTORED, dump)
    await postgres.sql(f"ALTER DATABASE {RESTORED} RENAME TO {DATABASE}")


async def _renamed(postgres: ChaosPostgres) -> bool:
    try:
        await postgres.sql(
            f"ALTER DATABASE {DATABASE} RENAME TO {AWAY}",
            f"ALTER DATABASE {AWAY} ALLOW_CONNECTIONS true",
        )
    except asyncpg.ObjectInUseError:  # a session is still ending
        return False
    return True


@asynccontextmanager
async def swallowed(suite: Suite, _: Event) -> AsyncIterator[None]:
    """The connections of now become black holes, as behind a NAT that has forgotten them."""
    _of(suite).proxy.silence_open()
    yield


_BREAKS = (1.5, 4.0)

ACTS = (
    Act("stop postgres", stopped, seconds=(1.0, 1.5), needs=Needs.POSTGRES),
    Act("login refused", login_refused, seconds=_BREAKS, needs=Needs.POSTGRES),
    Act("database gone", database_gone, seconds=_BREAKS, needs=Needs.POSTGRES),
    Act("too many connections", too_many, seconds=_BREAKS, needs=Needs.POSTGRES),
    Act("database read-only", read_only, seconds=_BREAKS, needs=Needs.POSTGRES),
    Act(
        "connections swallowed",
        swallowed,
        needs=Needs.POSTGRES,
        limit=BLACK_HOLE_LIMIT,
        brief=True,
        from_the_break=True,
    ),
)
