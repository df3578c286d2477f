"""taskiq's broker and its task that does nothing; see bench/peers/noop.py."""

import asyncio
import os

from taskiq_redis import RedisStreamBroker

broker = RedisStreamBroker(os.environ["BENCH_BROKER"], consumer_id="0")


@broker.task(task_name="noop")
async def noop(encoded: str) -> None:
    """Nothing."""


async def enqueue(count: int, size: int, at_once: int) -> None:
    """Queue `count` tasks of `size` characters."""
    await broker.startup()
    for start in range(0, count, at_once):
        some = range(min(at_once, count - start))
        await asyncio.gather(*(noop.kiq("x" * size) for _ in some))
    await broker.shutdown()
