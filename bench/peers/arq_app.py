"""arq with the work in a process pool, since its jobs share one event loop."""

import asyncio
import multiprocessing
import os
from concurrent.futures import ProcessPoolExecutor
from typing import Any, ClassVar

from arq.connections import RedisSettings

from bench.peers import opencv_work
from bench.peers.driver import WORKERS

Context = dict[Any, Any]  # Any: arq's own type of what jobs share


async def startup(context: Context) -> None:
    """Start the pool; its processes load the model."""
    context["pool"] = ProcessPoolExecutor(
        WORKERS, multiprocessing.get_context("spawn"), initializer=opencv_work.detector
    )


async def shutdown(context: Context) -> None:
    """End the pool."""
    context["pool"].shutdown()


async def process(context: Context, path: str, out: str) -> list[list[float]]:
    """One picture by reference."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(context["pool"], opencv_work.process, path, out)


class WorkerSettings:
    """Read by the `arq` command. Polling is quicker than by default, in arq's favour."""

    functions: ClassVar = [process]
    redis_settings = RedisSettings.from_dsn(os.environ["BENCH_BROKER"])
    on_startup = startup
    on_shutdown = shutdown
    max_jobs = 2 * WORKERS
    poll_delay = 0.02
    log_results = False
