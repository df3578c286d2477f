"""streaQ with the work in a process pool, since its tasks share one event loop."""

import asyncio
import multiprocessing
import os
from collections.abc import AsyncIterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import asynccontextmanager

from streaq import Worker

from bench.peers import opencv_work
from bench.peers.driver import WORKERS


@asynccontextmanager
async def lifespan() -> AsyncIterator[ProcessPoolExecutor]:
    """The pool, whose processes have loaded the model."""
    with ProcessPoolExecutor(
        WORKERS, multiprocessing.get_context("spawn"), initializer=opencv_work.detector
    ) as pool:
        yield pool


worker = Worker(redis_url=os.environ["BENCH_BROKER"], lifespan=lifespan, concurrency=2 * WORKERS)


@worker.task
async def process(path: str, out: str) -> list[list[float]]:
    """One picture by reference."""
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(worker.context, opencv_work.process, path, out)
