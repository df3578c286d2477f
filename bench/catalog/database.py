"""A database of a measurement's own, on a PostgreSQL that is there."""

import os
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg  # type: ignore[import-untyped]
from sqlalchemy.engine import make_url

VARIABLE = "FACES_BENCH_POSTGRES_URL"
SERVER = "postgresql://postgres@127.0.0.1:5432/postgres"


@asynccontextmanager
async def database() -> AsyncIterator[str]:
    """URL of a database that is dropped at the end of the block.

    Raises:
        SystemExit: the server of FACES_BENCH_POSTGRES_URL does not answer or refuses.
    """
    server = os.environ.get(VARIABLE, SERVER)
    name = f"faces_bench_{secrets.token_hex(4)}"
    try:
        connection = await asyncpg.connect(server)
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        where = make_url(server).render_as_string()
        raise SystemExit(
            f"a PostgreSQL is needed, and {where} cannot be used ({error}): start one there, or "
            f"set {VARIABLE}=postgresql://user:password@host/name to one that may create databases"
        ) from None
    await connection.execute(f"CREATE DATABASE {name}")
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
        await connection.close()
