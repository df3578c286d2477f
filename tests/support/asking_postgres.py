"""A PostgreSQL of a test's own that asks for passwords, as servers elsewhere do."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager

from tests.chaos.servers import Postgres
from tests.support.servers import absent


class PasswordPostgres(Postgres):
    """Whoever logs in as one of `roles` must know its password; all others are believed."""

    def __init__(self, *roles: str) -> None:
        super().__init__()
        self._roles = roles

    def configure(self) -> None:
        rules = self.folder / "pg_hba.conf"
        asks = f"host all {','.join(self._roles)} 127.0.0.1/32 scram-sha-256\n"
        rules.write_text(asks + rules.read_text())


@contextmanager
def asking(*roles: str) -> Iterator[Postgres]:
    """A running server that asks these roles; skips where PostgreSQL's programs are absent."""
    if not Postgres.available() or shutil.which("pg_dump") is None:
        absent("PostgreSQL's programs (initdb, postgres, pg_dump, psql)")
    server = PasswordPostgres(*roles)
    try:
        server.create()
        yield server
    finally:
        server.remove()
