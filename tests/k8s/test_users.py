"""Each service is a user of its own in Redis: the whole suite works so, and none can do more."""

import asyncio
import json
import re
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import redis

from shared.catalog import Catalog, Filter
from shared.errors import Exit
from tests.support.faces_command import Faces
from tests.support.pictures import astronaut, encoded
from tests.support.processes import Processes
from tests.support.redis_as_deployed import FILES, DeployedRedis, rules_of
from tests.support.waiting import wait_until

pytestmark = pytest.mark.timeout(300)

STAGES = ("ingest", "detector", "writer")
LUA = FILES.parents[1] / "shared" / "streams" / "lua"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployedRedis]:
    deployed = DeployedRedis(tmp_path_factory.mktemp("redis"))
    deployed.start()
    yield deployed
    deployed.end()


class Deployment:
    """All services as processes, and `faces` as the user of whoever runs it."""

    def __init__(self, folder: Path, server: DeployedRedis) -> None:
        self.folder = folder
        self.server = server
        self.services = Processes(folder, server.url("ingest"))
        self.pictures = folder / "pictures"
        self.pictures.mkdir()
        self.services.settings = {"source_roots": self.pictures}
        self.running: list[subprocess.Popen[bytes]] = []
        self._given = {
            "FACES_DATABASE_URL": self.services.database,
            "FACES_OBJECTS_URL": f"file://{folder}/objects",
            "FACES_MODEL": "haar",
        }

    async def start(self) -> None:
        for name in STAGES:
            self.services.redis_url = self.server.url(name)
            self.running.append(self.services.start(f"services.{name}"))
        for process in self.running:
            await self._consumes(process)

    async def _consumes(self, process: "subprocess.Popen[bytes]") -> None:
        await wait_until(lambda: '"consuming"' in self.services.printed(process), "it consumes")

    async def faces(self, user: str, *arguments: str | Path, status: Exit = Exit.DONE) -> str:
        """Run a command as this user."""
        command = Faces(self.folder, FACES_REDIS_URL=self.server.url(user), **self._given)
        done = await asyncio.to_thread(command, *arguments)
        assert done.returncode == status, f"{arguments}: {done.stdout} {done.stderr}"
        return done.stdout

    async def statuses(self) -> list[str]:
        catalog = await Catalog.open(self.services.database)
        try:
            return sorted([row.status async for row in catalog.reader.results(Filter())])
        finally:
            await catalog.close()

    async def become(self, *wanted: str) -> None:
        found: list[str] = []

        async def reached() -> bool:
            found[:] = await self.statuses()
            return found == sorted(wanted)

        try:
            await wait_until(reached, f"the rows are {wanted}", timeout=60)
        except AssertionError as error:
            raise AssertionError(f"{found}; refused: {self.server.refused()}") from error


@pytest.fixture
async def deployment(tmp_path: Path, server: DeployedRedis) -> AsyncIterator[Deployment]:
    with server.client("operator") as operator:
        operator.flushall()
        operator.acl_log_reset()
    deployed = Deployment(tmp_path, server)
    yield deployed
    deployed.services.end()


async def test_the_whole_suite_works_with_each_service_as_its_own_user(
    deployment: Deployment, server: DeployedRedis, tmp_path: Path
) -> None:
    sent = tmp_path / "sent"
    sent.mkdir()
    (sent / "a.jpg").write_bytes(encoded(astronaut(), "JPEG"))
    (sent / "broken.jpg").write_bytes(b"no picture at all")
    (deployment.pictures / "b.jpg").write_bytes(encoded(astronaut().rotate(180), "JPEG"))
    await deployment.start()

    await deployment.faces("submit", "submit", sent, "--quiet")
    await deployment.faces("submit", "submit", "--by-reference", deployment.pictures, "--quiet")
    await deployment.become("failed", "faces", "faces")

    (deployment.pictures / "c.jpg").write_bytes(encoded(astronaut(), "PNG"))
    told = await deployment.faces(
        "admin", "submit", "--by-reference", deployment.pictures, "--json"
    )
    await deployment.become("failed", "faces", "faces", "faces")
    await deployment.faces("admin", "status", json.loads(told)["submission"])
    again = await deployment.faces("admin", "redo", "--recipe-changed", "--mode", "blur", "*c.jpg")
    await deployment.faces("admin", "status", re.findall(r"\b[0-9a-f]{32}\b", again)[0], "--watch")

    with server.client("operator") as operator:
        for n in range(2):
            operator.xadd("{faces}:images", {"m": f"no message {n}"})
    letters = await _two_dead(deployment)
    await deployment.faces("admin", "dead", "show", letters[0])
    await deployment.faces("admin", "dead", "retry", letters[0])
    await deployment.faces("admin", "dead", "drop", "--all")

    await deployment.faces("admin", "cancel", json.loads(told)["submission"])
    await deployment.faces("admin", "submit", "--missing")
    await deployment.faces("admin", "forget", "*a.jpg", "--yes")
    await deployment.faces("admin", "sweep", "--yes")
    assert '"max": 643825664' in await deployment.faces("admin", "stats", "--json")
    with server.client("metrics") as metrics:
        assert metrics.xlen("{faces}:images") == 0

    for process in deployment.running:
        process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(process.wait, 60) == 0
    assert server.refused() == [], "nobody was refused anything"


async def _two_dead(deployment: Deployment) -> list[str]:
    """The ids of the dead letters, as soon as there are two."""
    ids: list[str] = []

    async def both() -> bool:
        told = await deployment.faces("admin", "dead", "list", "--json")
        ids[:] = re.findall(r'"id": ?"([^"]+)"', told)
        return len(ids) == 2

    await wait_until(both, "two dead letters")
    return ids


SOURCES, IMAGES, RESULTS = "{faces}:sources", "{faces}:images", "{faces}:results"
READ = "XRANGE {} - +"
ADD = "XADD {} * m forged"

REFUSED = {
    "ingest": [READ.format("{faces}:once:x"), "HGET {faces}:later:results:keys x"],
    "detector": [READ.format(SOURCES), ADD.format(SOURCES), "HGETALL {faces}:history:sources"],
    "writer": [*(one.format(stream) for one in (READ, ADD) for stream in (SOURCES, IMAGES))],
    "submit": [
        *(READ.format(stream) for stream in (SOURCES, IMAGES, RESULTS, "{faces}:dead")),
        *(ADD.format(stream) for stream in (IMAGES, RESULTS, "{faces}:dead")),
        f"XREADGROUP GROUP ingest me STREAMS {SOURCES} >",
        f"XDEL {SOURCES} 1-1",
        "GET {faces}:body:x",
        "SMEMBERS {faces}:flights",
    ],
    "admin": [f"XREADGROUP GROUP ingest me STREAMS {SOURCES} >"],
    "metrics": [
        *(one.format(stream) for one in (READ, ADD) for stream in (SOURCES, IMAGES, RESULTS)),
        "GET {faces}:body:x",
        "EVALSHA 0000000000000000000000000000000000000000 0",
    ],
}
"""What each user might want beyond its own."""

NOBODYS = [
    "KEYS *",
    "SCAN 0",
    "RANDOMKEY",
    "DBSIZE",
    "GET of-others",
    "SET of-others x",
    "XADD of-others * m x",
    "FLUSHALL",
    "FLUSHDB",
    "SWAPDB 0 1",
    "CONFIG GET dir",
    "CONFIG SET dir /tmp",
    "ACL LIST",
    "ACL SETUSER default on nopass +@all ~*",
    "SHUTDOWN",
    "SAVE",
    "BGREWRITEAOF",
    "REPLICAOF 127.0.0.1 1",
    "MONITOR",
    "CLIENT LIST",
    "CLIENT KILL USER operator",
    "CLIENT PAUSE 1",
    "SCRIPT FLUSH",
    "SCRIPT KILL",
    "FUNCTION FLUSH",
    "EVAL return 0",
    "PUBLISH x y",
    "SUBSCRIBE x",
    "SORT {faces}:flights",
    "MIGRATE 127.0.0.1 1 {faces}:images 0 1",
    "RESTORE {faces}:images 0 x",
    "DUMP {faces}:images",
]
"""What none of the suite's parts has any use for."""


def test_no_user_can_do_what_is_not_its_own(server: DeployedRedis) -> None:
    done = []
    for user, beyond_its_own in REFUSED.items():
        with server.client(user) as client:
            for command in beyond_its_own + NOBODYS:
                try:
                    client.execute_command(*command.split())
                except redis.exceptions.NoPermissionError:
                    continue
                except redis.exceptions.ResponseError as error:
                    done.append(f"{user}: {command}: {error}")
                else:
                    done.append(f"{user}: {command}")
    assert done == []


def test_a_script_cannot_do_what_its_caller_may_not(server: DeployedRedis) -> None:
    forged = f"return redis.call('XADD', '{SOURCES}', '*', 'm', 'forged')"
    for user in ("detector", "writer"):
        with server.client(user) as client:
            digest = client.script_load(forged)
            with pytest.raises(redis.exceptions.ResponseError, match=r"can't|permission"):
                client.evalsha(digest, 0)
    with server.client("operator") as operator:
        assert operator.xlen(SOURCES) == 0


def test_nobody_comes_in_without_a_name_and_a_password(server: DeployedRedis) -> None:
    with redis.Redis(port=server.port) as stranger, pytest.raises(redis.AuthenticationError):
        stranger.ping()
    for password in server.passwords.values():
        nameless = redis.Redis(port=server.port, password=password)
        with nameless, pytest.raises(redis.AuthenticationError):
            nameless.ping()


ALL_BUT_THE_ADDER = {path.stem for path in LUA.glob("*.lua")} - {"add"}
SCRIPTS = {
    **dict.fromkeys(STAGES, ALL_BUT_THE_ADDER - {"drop", "revive"}),
    "submit": {"add"},
    "admin": {"common", "add", "drop", "revive", "shed", "weigh"},
}
"""Which scripts each user runs; they run with its rights."""


def test_each_user_may_do_all_that_the_scripts_do_which_it_runs(server: DeployedRedis) -> None:
    called = {
        path.stem: set(re.findall(r"redis\.p?call\(\s*'(\w+)'(?:, '([A-Z]+)')?", path.read_text()))
        for path in LUA.glob("*.lua")
    }
    assert len(called["common"]) > 10
    lacking = []
    with server.client("operator") as operator:
        for user, scripts in SCRIPTS.items():
            allowed = rules_of(user)
            for category in [word[2:] for word in allowed if word.startswith("+@")]:
                allowed |= {f"+{one}" for one in operator.acl_cat(category)}
            for name in scripts:
                for command, second in called[name]:
                    plain = f"+{command.lower()}"
                    if not {plain, f"{plain}|{second.lower()}"} & allowed:
                        lacking.append(f"{user}: {name}: {command} {second}")
    assert lacking == []


def test_the_rules_are_those_of_the_prefix_that_the_cluster_uses() -> None:
    settings = (FILES.parent / "settings" / "settings.env").read_text()
    assert re.findall(r"^FACES_PREFIX=(.*)$", settings, re.MULTILINE) == ["faces"]
    for user in REFUSED:
        keys = [word.strip("(") for word in rules_of(user) if word.lstrip("(").startswith("~")]
        assert keys and all(key.startswith("~{faces}:") for key in keys), user
        assert "-@dangerous" in rules_of(user)
