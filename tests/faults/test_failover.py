"""Redis with Sentinel: the primary is killed under load, and a replica takes its place."""

import asyncio
from pathlib import Path

import pytest

from shared.streams.keys import IMAGES
from tests.chaos.failover import Failovers, Plan
from tests.support.proxy import Proxy
from tests.support.sentinel import Replicated
from tests.support.servers import absent, installed_redis
from tests.support.stages import image, suite_on
from tests.support.waiting import wait_until


@pytest.fixture(autouse=True)
def _a_server() -> None:
    if installed_redis() is None:
        absent("a Redis or Valkey server with Sentinel")


@pytest.mark.timeout(400)
async def test_a_primary_killed_under_load_loses_and_doubles_nothing(tmp_path: Path) -> None:
    plan = Plan(seed=3, images=400, kills=1, held_seconds=1, safe=False, folder=tmp_path / "run")
    counts = await Failovers(plan).run()
    assert counts.submitted == 400
    assert (counts.lost, counts.doubled, counts.failed_wrongly) == (0, 0, 0), str(counts)
    assert len(counts.seconds_to_next_row) == 1, "it was killed while there was work"


@pytest.mark.timeout(400)
async def test_an_addition_counts_as_done_when_a_replica_has_it(tmp_path: Path) -> None:
    """Its primary dies before the replica has heard of it: it is added again at the next one."""
    servers = Replicated(tmp_path)
    async with Proxy(servers.servers[0].port) as first, Proxy(servers.servers[1].port) as second:
        servers.ports = [first.port, second.port]
        try:
            await asyncio.to_thread(servers.start)
            async with suite_on(servers.url) as suite:
                await suite.add_all([image()])
                first.holds_replicas = True
                adding = asyncio.create_task(suite.producer.add(image()))

                async def two() -> bool:
                    return await suite.length(IMAGES) == 2

                await wait_until(two, "the primary has it")
                assert not adding.done()
                servers.servers[0].kill()
                first.cut_all()
                first.holds_replicas = False
                assert await adding
                assert await suite.length(IMAGES) == 2, "the new primary has it, once"
        finally:
            await asyncio.to_thread(servers.stop)
