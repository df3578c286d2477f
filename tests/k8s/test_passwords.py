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
from tests.support.redis_as_deployed import USERS, DeployedRedis
from tests.support.servers import absent

pytestmark = [
    pytest.mark.xdist_group("kubernetes"),
    pytest.mark.timeout(400),
    pytest.mark.postgres,
]


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with asking("faces_a", "faces_b") as running:
        yield running


@pytest.fixture
def deployed(tmp_path: Path) -> Iterator[DeployedRedis]:
    running = DeployedRedis(tmp_path / "redis")
    running.start()
    yield running
    running.end()


class Documented:
    """Runs a block, and gives what it wrote into the Secret."""

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.environment = environment

    async def run_only(self, commands: str) -> None:
        stand_ins = {**self.environment, "STAND_IN_PATCH": str(self.folder / "patch")}
        await asyncio.to_thread(run_documented, commands, self.folder, stand_ins)

    async def run(self, commands: str) -> dict[str, str]:
        await self.run_only(commands)
        patch = self.folder / "patch"
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


async def test_each_user_of_redis_has_two_passwords_until_it_is_restarted(
    deployed: DeployedRedis, tmp_path: Path
) -> None:
    if shutil.which("redis-cli") is None:
        absent("redis-cli")
    block = block_with("ACL SETUSER").replace("-- redis-cli", f"-- redis-cli -p {deployed.port}")
    assert block.startswith("NAME=detector\n")
    document = Documented(tmp_path, REDISCLI_AUTH=deployed.passwords["operator"])
    before, after = dict(deployed.passwords), {}
    for user in USERS:
        written = await document.run(block.replace("NAME=detector", f"NAME={user}"))
        assert set(written) == {f"redis-password-{user}", f"redis-url-{user}"}
        after[user] = written[f"redis-password-{user}"]
        url = written[f"redis-url-{user}"].replace("@redis:6379", f"@127.0.0.1:{deployed.port}")
        with redis.Redis.from_url(url) as new, deployed.client(user) as old:
            assert new.ping() and old.ping(), user

    with deployed.client("detector") as held, pytest.raises(redis.exceptions.NoPermissionError):
        held.xlen("{faces}:sources")
    deployed.end()
    deployed.passwords = after
    deployed.start()
    for user in USERS:
        with deployed.client(user) as new:
            assert new.ping()
        old = redis.Redis(port=deployed.port, username=user, password=before[user])
        with old, pytest.raises(redis.AuthenticationError):
            old.ping()


async def test_the_old_way_in_is_closed_by_two_keys_less(tmp_path: Path) -> None:
    document = Documented(tmp_path)
    await document.run_only(block_with('"op":"remove"'))
    patch = json.loads((tmp_path / "patch").read_text())
    assert patch == [
        {"op": "remove", "path": f"/data/{key}"} for key in ("redis-password", "redis-url")
    ]


def test_the_urls_that_are_written_are_those_that_the_job_would_make() -> None:
    made = named(base(), "ConfigMap", "bootstrap")["data"]
    for user in ("ingest", "detector", "writer", "submit", "admin"):
        url = f"redis-url-{user}=redis://{user}:$(redis-password-{user})@redis:6379/0"
        assert url in made["REDIS_KEYS"].split()
    assert '"redis-url-%s":"redis://%s:%s@redis:6379/0"' in block_with("ACL SETUSER")
    place = made["POSTGRES_KEYS"].rpartition("@")[2]
    assert f'"database-url":"postgresql://%s:%s@{place}"' in block_with("ROLE=faces_a")
