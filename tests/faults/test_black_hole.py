"""Connections to the database that a router has forgotten: nobody says so, and work goes on."""

import asyncio
import json

from shared.streams.keys import DEAD
from tests.support.postgres import GuardedPostgres, database, guarded
from tests.support.processes import Processes, processes, suite_of
from tests.support.proxy import Proxy
from tests.support.stages import image, result_of
from tests.support.waiting import wait_until

__all__ = ["database", "guarded", "processes"]


async def test_idle_connections_that_are_swallowed_are_told_of_and_replaced(
    processes: Processes, guarded: GuardedPostgres, database: str
) -> None:
    async with Proxy(guarded.port) as router:
        processes.database = guarded.url_of(database)
        async with suite_of(processes) as (suite, catalog):
            processes.settings["database_url"] = guarded.url_of(database, port=router.port)
            writer = processes.start("services.writer")

            def logged(event: str) -> int:
                lines = processes.printed(writer).splitlines()
                said = [json.loads(line) for line in lines]
                return sum((one["event"], one.get("check")) == (event, "database") for one in said)

            async def rows(count: int) -> bool:
                await asyncio.sleep(0.1)  # asked again and again, beside the one that works
                connection = await guarded.connect(database)
                found = await connection.fetchval("SELECT count(*) FROM images")
                await connection.close()
                return bool(found == count)

            await suite.add_all([result_of(image("before.jpg"))])
            await wait_until(lambda: rows(1), "it commits")
            ready = logged("ready again")

            router.silence_open()

            await wait_until(lambda: logged("not ready"), "it says so while nothing is to do")
            await wait_until(lambda: logged("ready again") > ready, "it has found the server again")
            router.silence_open()
            await suite.add_all([result_of(image(f"{n}.jpg")) for n in range(20)])
            await wait_until(lambda: rows(21), "it commits again")
            assert await suite.length(DEAD) == 0
            await catalog.close()
