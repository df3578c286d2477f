"""Passwords and TLS: Redis with users, `rediss://`, and PostgreSQL, each on a server of its own."""

import asyncio
import shutil
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis
import trustme

from shared.catalog import Catalog
from shared.errors import LoginRefused, SettingsError, Unreachable
from shared.settings import Settings
from shared.streams.carried import more_in_flight_than_carried
from shared.streams.client import check, connect
from shared.streams.keys import IMAGES, RESULTS
from tests.chaos.servers import Postgres
from tests.support.catalogs import run_sql
from tests.support.faces_command import PROJECT
from tests.support.servers import absent, free_port, installed_redis
from tests.support.stages import Suite, image, running, suite_on
from tests.support.waiting import wait_until

COMMANDS = (
    "+@read +@write +@stream +@scripting +@transaction +@connection -@dangerous "
    "+client|id +client|unblock +info +time"
)
"""What a suite needs of Redis: nothing that configures, empties or stops the server."""


class Certificates:
    """An authority, its certificate for `localhost`, and the authority of a stranger."""

    def __init__(self, folder: Path) -> None:
        authority, stranger = trustme.CA(), trustme.CA()
        server = authority.issue_cert("localhost")
        self.authority, self.stranger = folder / "ca.pem", folder / "stranger.pem"
        self.certificate, self.key = folder / "server.pem", folder / "server.key"
        authority.cert_pem.write_to_path(str(self.authority))
        stranger.cert_pem.write_to_path(str(self.stranger))
        self.certificate.write_bytes(b"".join(one.bytes() for one in server.cert_chain_pems))
        server.private_key_pem.write_to_path(str(self.key))
        self.key.chmod(0o600)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture(scope="module")
def tls_redis(
    certificates: Certificates, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[int]:
    """Port of a server that speaks TLS alone, to the user `faces` with the password `hush`."""
    binary = installed_redis()
    if binary is None:
        absent("redis-server")
    port = free_port()
    settings = (
        f'port 0\ntls-port {port}\ntls-auth-clients no\nbind 127.0.0.1\nsave ""\n'
        f"tls-cert-file {certificates.certificate}\ntls-key-file {certificates.key}\n"
        f"tls-ca-cert-file {certificates.authority}\n"
        f"user default off\nuser faces on >hush ~{{faces}}:* {COMMANDS}\n"
    )
    folder = tmp_path_factory.mktemp("redis")
    (folder / "redis.conf").write_text(settings)
    process = subprocess.Popen([binary, "redis.conf"], cwd=folder, stdout=subprocess.DEVNULL)
    try:
        asyncio.run(wait_until(lambda: listens(port), "the server listens"))
        yield port
    finally:
        process.kill()
        process.wait()


def listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def url_of(port: int, authority: Path, user: str = "faces:hush", host: str = "localhost") -> str:
    return f"rediss://{user}@{host}:{port}/0?ssl_ca_certs={authority}"


async def test_a_suite_works_through_tls_as_a_user_with_few_rights(
    tls_redis: int, certificates: Certificates
) -> None:
    async with suite_on(url_of(tls_redis, certificates.authority)) as suite:
        with pytest.raises(redis.exceptions.NoPermissionError):
            await suite.client.config_get("dir")
        with pytest.raises(redis.exceptions.NoPermissionError):
            await suite.client.get("somebody else's key")
        message = await suite.add_with_body(b"pixels")
        async with running(suite):
            await suite.add_all([image() for _ in range(3)])
            await wait_until(lambda: has_results(suite, 4), "all went through")
        assert message.payload is not None
        assert not await suite.client.exists(suite.keys.payload(message.payload.id))
        assert await suite.length(IMAGES) == 0


async def test_one_user_for_all_can_neither_list_nor_empty_nor_stop_the_server(
    tls_redis: int, certificates: Certificates
) -> None:
    assert COMMANDS in (PROJECT / "SECURITY.md").read_text()
    async with suite_on(url_of(tls_redis, certificates.authority)) as suite:
        for command in ("FLUSHALL", "FLUSHDB", "SWAPDB 0 1", "KEYS *", "CLIENT LIST", "SHUTDOWN"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                # redis-py gives it no types.
                await suite.client.execute_command(*command.split())  # type: ignore[no-untyped-call]
        # As `faces submit` looks for what was lost.
        assert not await more_in_flight_than_carried(suite.client, suite.keys)


async def has_results(suite: Suite, count: int) -> bool:
    return await suite.length(RESULTS) == count


# What drivers leave of a refused connection is closed by the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("authority", "user", "host", "told"),
    [
        ("stranger", "faces:hush", "localhost", "TLS certificate is refused"),
        ("authority", "faces:hush", "127.0.0.1", "IP address mismatch"),
        ("authority", "faces:secret-guess", "localhost", "refuses the user or password"),
    ],
)
async def test_a_redis_that_cannot_be_trusted_or_does_not_trust_is_told_plainly(
    authority: str,
    user: str,
    host: str,
    told: str,
    tls_redis: int,
    certificates: Certificates,
) -> None:
    url = url_of(tls_redis, getattr(certificates, authority), user, host)
    client = connect(Settings.load({"redis_url": url}).redis_url)
    try:
        with pytest.raises(Unreachable, match=told) as caught:
            await check(client)
        assert "hush" not in str(caught.value)
        assert "guess" not in str(caught.value)
    finally:
        await client.aclose()


async def test_plain_redis_where_tls_is_spoken_does_not_hang(tls_redis: int) -> None:
    url = f"redis://faces:hush@localhost:{tls_redis}/0"
    client = connect(Settings.load({"redis_url": url}).redis_url, timeout=2)
    try:
        with pytest.raises(Unreachable, match="Redis"):
            await check(client)
    finally:
        await client.aclose()


@pytest.mark.parametrize(
    "url",
    [
        "redis://user:hush/word@host:6379/0",
        "redis://:hush#word@host",
        "redis://user:hush@host/0?ssl_ca_certs=ca.pem",
        "rediss://user:hush@host/0?ssl_cert_reqs=maybe",
        "rediss://user:hush@host/0?ssl_ca_certs=gone.pem",
        "redis://user:hush@host/0?colour=hush",
        "http://user:hush@host/",
    ],
)
def test_a_redis_url_that_cannot_be_used_names_the_setting_and_tells_nothing_of_it(
    url: str,
) -> None:
    with pytest.raises(SettingsError, match="FACES_REDIS_URL") as caught:
        connect(Settings.load({"redis_url": url}).redis_url)
    assert "hush" not in str(caught.value)
    error = caught.value
    assert error.__suppress_context__ or not error.__context__, "a traceback would quote it"


class TlsPostgres(Postgres):
    """A cluster that takes a password, and only through TLS."""

    def __init__(self, certificates: Certificates) -> None:
        super().__init__()
        self.certificates = certificates

    def configure(self) -> None:
        self.start()  # as it comes, to give its user a password
        asyncio.run(run_sql(self.url, "ALTER USER postgres PASSWORD 'hush'"))
        self.stop()
        for source, name in (
            (self.certificates.certificate, "server.crt"),
            (self.certificates.key, "server.key"),
        ):
            target = self.folder / name
            shutil.copy(source, target)
            target.chmod(0o600)
            if self.user:
                shutil.chown(target, self.user, self.user)
        with (self.folder / "postgresql.conf").open("a") as settings:
            settings.write("ssl = on\n")
        (self.folder / "pg_hba.conf").write_text("hostssl all all 127.0.0.1/32 scram-sha-256\n")


@pytest.fixture(scope="module")
def tls_postgres(certificates: Certificates) -> Iterator[int]:
    """Port of a PostgreSQL for the user `postgres` with the password `hush`."""
    if not Postgres.available():
        absent("PostgreSQL's programs")
    postgres = TlsPostgres(certificates)
    try:
        postgres.create()
        yield postgres.port
    finally:
        postgres.remove()


@pytest.mark.parametrize("options", ["sslmode=verify-full&sslrootcert={ca}", "sslmode=require", ""])
async def test_a_catalog_through_tls(
    options: str, tls_postgres: int, certificates: Certificates
) -> None:
    url = f"postgresql://postgres:hush@localhost:{tls_postgres}/postgres?" + options
    catalog = await Catalog.open(url.format(ca=certificates.authority))
    assert await catalog.reader.submissions() == []
    await catalog.close()


# What drivers leave of a refused connection is closed by the garbage collector.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("sslmode=verify-full&sslrootcert={stranger}", "certificate verify failed"),
        ("sslmode=verify-full&sslrootcert=/gone.pem", "/gone.pem"),
        ("sslmode=disable", "no pg_hba.conf entry"),
        ("sslmode=perhaps", "sslmode"),
        ("colour=hush", "unknown option 'colour'"),
    ],
)
async def test_a_database_that_cannot_be_trusted_or_does_not_trust_is_told_plainly(
    options: str, told: str, tls_postgres: int, certificates: Certificates
) -> None:
    url = f"postgresql://postgres:hush@localhost:{tls_postgres}/postgres?" + options
    with pytest.raises((SettingsError, Unreachable), match=told) as caught:
        await Catalog.open(url.format(stranger=certificates.stranger))
    assert "hush" not in str(caught.value)


async def test_a_wrong_password_of_the_database_is_told_without_it(
    tls_postgres: int, certificates: Certificates
) -> None:
    url = f"postgresql://postgres:guess@localhost:{tls_postgres}/postgres?sslmode=require"
    with pytest.raises(LoginRefused, match="password authentication failed") as caught:
        await Catalog.open(url)
    assert "guess" not in str(caught.value)


async def test_a_port_that_is_no_number_is_not_repeated() -> None:
    with pytest.raises(SettingsError, match="FACES_DATABASE_URL: not a URL") as caught:
        await Catalog.open("postgresql://user:pass@host:hush/faces")
    assert "hush" not in str(caught.value)
