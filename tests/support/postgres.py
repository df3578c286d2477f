"""A PostgreSQL of a test module's own, which may be broken: logins, limits, silence, a pooler."""

import asyncio
import os
import secrets
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy.engine import make_url

from tests.chaos.servers import Postgres
from tests.support.catalogs import run_sql
from tests.support.servers import absent, free_port

PASSWORD = "hush"


class GuardedPostgres(Postgres):
    """The user `postgres` gets in without a password, everybody else with one."""

    def configure(self) -> None:
        (self.folder / "pg_hba.conf").write_text(
            "host all,replication postgres 127.0.0.1/32 trust\n"
            "host all all 127.0.0.1/32 scram-sha-256\n"
        )

    async def run(self, *statements: str, database: str = "postgres") -> None:
        """Run statements as the superuser."""
        await run_sql(self.url_of(database, "postgres", ""), *statements)

    async def connect(self, database: str) -> Any:  # Any: asyncpg has no types
        """A connection of the superuser's."""
        return await asyncpg.connect(self.url_of(database, "postgres", ""))

    async def sessions(self, database: str) -> int:
        """How many connections of `faces` there are."""
        connection = await self.connect(database)
        try:
            return int(
                await connection.fetchval(
                    "SELECT count(*) FROM pg_stat_activity "
                    "WHERE usename = 'faces' AND datname = current_database()"
                )
            )
        finally:
            await connection.close()

    def url_of(
        self, database: str, user: str = "faces", password: str = PASSWORD, port: int | None = None
    ) -> str:
        url = make_url(self.url).set(
            database=database, username=user, password=password or None, port=port or self.port
        )
        return url.render_as_string(hide_password=False)

    def dump(self, database: str) -> None:
        """Back a database up, as docs/operations.md has it."""
        self._run("pg_dump", "-Fc", "-f", str(self.folder / database), *self._as_owner(database))

    def restore(self, database: str, section: str) -> None:
        """Restore a part of the backup: `pre-data`, `data` or `post-data`."""
        file = str(self.folder / database)
        self._run("pg_restore", "--section", section, *self._as_owner(database), file)

    def _as_owner(self, database: str) -> tuple[str, ...]:
        return "-h", "127.0.0.1", "-p", str(self.port), "-U", "postgres", "-d", database

    def freeze(self) -> None:
        """Every process of the server stands still; what is sent to it is taken and not read."""
        self._send(signal.SIGSTOP)

    def thaw(self) -> None:
        """They go on."""
        self._send(signal.SIGCONT)

    def _send(self, signum: signal.Signals) -> None:
        pid = int((self.folder / "postmaster.pid").read_text().splitlines()[0])
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        for one in (pid, *map(int, children)):
            with suppress(ProcessLookupError):
                os.kill(one, signum)

    @property
    def log(self) -> str:
        return (self.folder / "log").read_text()


class Standby(GuardedPostgres):
    """A copy that follows its primary, until it is promoted."""

    def __init__(self, primary: GuardedPostgres) -> None:
        super().__init__()
        self._primary = primary

    def create(self) -> None:
        if self.user:
            shutil.chown(self.folder, self.user, self.user)
        at = ("-h", "127.0.0.1", "-p", str(self._primary.port), "-U", "postgres")
        self._run("pg_basebackup", *at, "-D", str(self.folder), "-R", "-c", "fast", "--no-sync")
        self.start()

    def promote(self) -> None:
        self._run("pg_ctl", "promote", "-w", "-D", str(self.folder))


@pytest.fixture(scope="module")
def guarded() -> Iterator[GuardedPostgres]:
    """A server with the user `faces`, whose password is PASSWORD."""
    if not Postgres.available():
        absent("PostgreSQL's programs")
    postgres = GuardedPostgres()
    try:
        postgres.create()
        asyncio.run(postgres.run(f"CREATE ROLE faces LOGIN PASSWORD '{PASSWORD}'"))
        yield postgres
    finally:
        postgres.remove()


@pytest.fixture
async def database(guarded: GuardedPostgres) -> AsyncIterator[str]:
    """Name of an empty database of `faces`. It ends with the test, as do the user's settings."""
    name = f"faces_{secrets.token_hex(4)}"
    await guarded.run(f"CREATE DATABASE {name} OWNER faces")
    yield name
    await guarded.run(
        f"DROP DATABASE {name} WITH (FORCE)",
        f"ALTER ROLE faces LOGIN CONNECTION LIMIT -1 PASSWORD '{PASSWORD}'",
        "ALTER ROLE faces RESET ALL",
    )


async def end_connections(postgres: GuardedPostgres, user: str = "faces") -> None:
    """End all connections of a user, as a restart of the server would."""
    await postgres.run(
        f"SELECT pg_terminate_backend(pid, 60000) FROM pg_stat_activity WHERE usename = '{user}'"
    )


@contextmanager
def pgbouncer(postgres: Postgres) -> Iterator[int]:
    """Port of a pgbouncer in transaction mode before the server; skipped where there is none."""
    program = shutil.which("pgbouncer") or shutil.which("/usr/sbin/pgbouncer")
    if program is None:
        pytest.skip("pgbouncer is absent")
    folder, port = postgres.folder / "pgbouncer", free_port()
    folder.mkdir()
    (folder / "users").write_text('"postgres" ""\n')
    (folder / "pgbouncer.ini").write_text(
        f"[databases]\n* = host=127.0.0.1 port={postgres.port} user=postgres\n[pgbouncer]\n"
        f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir =\nauth_type = any\n"
        f"auth_file = {folder}/users\npool_mode = transaction\ndefault_pool_size = 2\n"
    )
    with (folder / "pgbouncer.log").open("wb") as log:
        process = subprocess.Popen(
            [program, "pgbouncer.ini"], cwd=folder, user=postgres.user, stdout=log, stderr=log
        )
    try:
        yield port
    finally:
        process.kill()
        process.wait()
