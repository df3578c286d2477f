"""A service is ready only as long as every server that it needs answers."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import redis

from shared.errors import Unreachable
from shared.health import Health
from tests.support.logs import recorded
from tests.support.servers import RedisServer
from tests.support.stages import running, suite_on
from tests.support.waiting import wait_until

OFTEN = 0.01


class Server:
    """A server that a test takes away and brings back."""

    def __init__(self, trouble: str | None = None) -> None:
        self.trouble = trouble
        self.asked = 0
        self.silent = asyncio.Event()

    async def check(self) -> None:
        self.asked += 1
        if self.silent.is_set():
            await asyncio.Event().wait()
        if self.trouble is not None:
            raise Unreachable(self.trouble)


class Recorded(Health):
    """Remembers what was wrong after each change for the better."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[dict[str, str]] = []

    def ready(self, name: str) -> None:
        super().ready(name)
        self.seen.append(self.problems)


@asynccontextmanager
async def started(**servers: Server) -> AsyncIterator[Health]:
    health = Health()
    async with health.needs({n: one.check for n, one in servers.items()}, every=OFTEN):
        health.ready("start")
        yield health


async def until_ready(health: Health) -> None:
    await wait_until(lambda: not health.problems, "the service is ready")


async def test_a_service_is_not_ready_before_every_server_has_answered_once() -> None:
    server, catalog = Server(), Server("the password is refused")
    async with started(redis=server, catalog=catalog) as health:
        assert health.problems == {
            "redis": "has not answered yet",
            "catalog": "has not answered yet",
        }
        await wait_until(lambda: catalog.asked > 2, "the catalog was asked")
        assert health.problems == {"catalog": "the password is refused"}
        catalog.trouble = None
        await until_ready(health)


async def test_a_start_at_which_all_is_well_is_not_worth_a_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = recorded(monkeypatch, "shared.health")
    server = Server()
    async with started(redis=server) as health:
        await until_ready(health)
        assert log.text == ""
        server.trouble = "Redis cannot be reached"
        await wait_until(lambda: bool(health.problems), "the loss is seen")
        server.trouble = None
        await until_ready(health)
    assert log.text.count("ready again") == 1


async def test_a_server_that_goes_away_makes_an_idle_service_unready_until_it_is_back() -> None:
    server = Server()
    async with started(redis=server) as health:
        await until_ready(health)
        server.trouble = "Redis cannot be reached"
        await wait_until(lambda: bool(health.problems), "the loss is seen")
        assert health.problems == {"redis": "Redis cannot be reached"}
        server.trouble = None
        await until_ready(health)


async def test_a_server_that_falls_silent_makes_the_service_unready(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("shared.health.CHECK_LIMIT_SECONDS", 0.05)
    catalog = Server()
    async with started(catalog=catalog) as health:
        await until_ready(health)
        catalog.silent.set()
        await wait_until(lambda: bool(health.problems), "the silence is noticed")
        assert health.problems == {"catalog": "does not answer within 0.05 s"}
        catalog.silent.clear()
        await until_ready(health)


async def test_a_bug_in_a_check_is_told_and_the_check_goes_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log = recorded(monkeypatch, "shared.health")

    class Broken(Server):
        async def check(self) -> None:
            await super().check()
            if self.asked < 3:
                raise ValueError("no such " + "field")

    async with started(redis=Broken()) as health:
        told = "the check failed: ValueError; the log has where"
        await wait_until(lambda: told in health.problems.values(), "told")
        await until_ready(health)
    assert "in check" in log.text
    assert "no such field" not in log.text, "words may quote the name of a file"


async def test_a_service_whose_server_answers_but_lets_no_consumer_join_is_never_ready(
    tmp_path: Path,
) -> None:
    """As of a Redis user that may ping, and nothing else: no 200 between two refusals."""
    server = RedisServer(tmp_path)
    server.start()
    try:
        with redis.Redis(port=server.port) as operator:
            operator.execute_command("ACL", "SETUSER", "default", "-@all", "+ping", "+client")
        health = Recorded()
        async with suite_on(server.url) as suite, running(suite, health=health):
            health.ready("start")
            await wait_until(lambda: "Redis" not in health.problems, "the server has answered")
            await wait_until(lambda: "detector" in health.problems, "it refuses all the same")
            assert all(health.seen), "it was ready for a moment"
    finally:
        server.kill()


async def test_one_server_of_several_is_named() -> None:
    health = Health()
    health.ready("start")
    health.unready("detector", "no slot")
    async with health.needs({"redis": Server().check}, every=OFTEN):
        await wait_until(lambda: "redis" not in health.problems, "Redis answered")
        assert health.problems == {"detector": "no slot"}
