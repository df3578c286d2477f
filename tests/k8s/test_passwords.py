"""Rotating passwords as documented: the commands as they stand, on real servers."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest
import redis

from shared.catalog import Catalog
from tests.chaos.servers import Postgres
from tests.support.asking_postgres import asking
from tests.support.catalogs import result_of, run_sql, some_images, step_of
from tests.support.documented import block_with, run_documented
from tests.support.manifests import base, named
from tests.support.servers import RedisServer, absent

pytestmark = [
    pytest.mark.xdist_group("kubernetes"),
    pytest.mark.timeout(400),
    pytest.mark.postgres,
]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with asking("faces_a", "faces_b") as running:
        yield running


class Documented:
    """Runs a block, and gives what it wrote into the Secret."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = environment

    async def run(self, commands: str) -> dict[str, str]:
        patch = self.folder / "patch"
        stand_ins = {**self.environment, "STAND_IN_PATCH": str(patch)}
        await asyncio.to_thread(run_documented, commands, self.folder, stand_ins)
        if not patch.exists():
            return {}
        written: dict[str, str] = json.loads(patch.read_text())["stringData"]
        return written


async def test_two_roles_in_turn_leave_nobody_locked_out_and_one_owner_of_the_tables(
    server: Postgres, tmp_path: Path
) -> None:
    await run_sql(
        server.url, "CREATE ROLE faces SUPERUSER LOGIN", "CREATE DATABASE faces OWNER faces"
    )
    first = server.url.replace("postgres@", "faces@").replace("/postgres", "/faces")
    document = Documented(tmp_path, PGHOST="127.0.0.1", PGPORT=str(server.port))
    await document.run(block_with("CREATE ROLE"))

    urls = [first]
    catalogs = []
    turn = block_with("ROLE=faces_a")
    for role in ("faces_a", "faces_b", "faces_a"):
        written = await document.run(turn.replace("ROLE=faces_a", f"ROLE={role}"))
        assert set(written) == {"database-url"}
        url = written["database-url"].replace("@postgres:5432", f"@127.0.0.1:{server.port}")
        assert url.startswith(f"postgresql://{role}:") and url not in urls
        connection = await asyncpg.connect(urls[-1])  # a pod of before, that has to connect again
        await connection.close()
        catalogs.append(await Catalog.open(url))
        urls.append(url)
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(urls[1])

    for n, catalog in enumerate(catalogs):
        images = some_images(2, f"turn-{n}")
        await catalog.ledger.queue(step_of(images, f"{n}" * 32))
        await catalog.ledger.commit([result_of(image) for image in images])
        await catalog.close()
    connection = await asyncpg.connect(first)
    owners = await connection.fetch(
        "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname='public'"
    )
    assert [owner for (owner,) in owners] == ["faces"], "though faces_a made them"
    assert await connection.fetchval("SELECT count(*) FROM images WHERE status = 'faces'") == 6
    await connection.close()


async def test_redis_takes_the_old_and_the_new_password_until_it_is_restarted(
    own_server: RedisServer, tmp_path: Path
) -> None:
    if shutil.which("redis-cli") is None:
        absent("redis-cli")
    old = redis.Redis(port=own_server.port, password="old")
    with redis.Redis(port=own_server.port) as client:
        client.config_set("requirepass", "old")
    commands = block_with("ACL SETUSER").replace(
        "-- redis-cli", f"-- redis-cli -p {own_server.port}"
    )
    document = Documented(tmp_path, REDISCLI_AUTH="old")
    written = await document.run(commands)

    assert set(written) == {"redis-password", "redis-url"}
    host = written["redis-url"].replace("@redis:6379", f"@127.0.0.1:{own_server.port}")
    assert written["redis-password"] in written["redis-url"]
    with redis.Redis.from_url(host) as new:
        assert new.ping() and old.ping()
    old.close()


def test_the_urls_that_are_written_are_those_that_the_job_would_make() -> None:
    made = named(base(), "ConfigMap", "bootstrap")["data"]
    assert "redis-url=redis://:$(redis-password)@redis:6379/0" in made["REDIS_KEYS"]
    assert '"redis-url":"redis://:%s@redis:6379/0"' in block_with("ACL SETUSER")
    place = made["POSTGRES_KEYS"].rpartition("@")[2]
    assert f'"database-url":"postgresql://%s:%s@{place}"' in block_with("ROLE=faces_a")
