"""Tasks that do nothing, in four libraries, to count the messages a second of each.

    python -m bench.peers.noop celery|arq|streaq|taskiq fill COUNT BYTES
    python -m bench.peers.noop celery|arq|streaq|taskiq work

`fill` queues COUNT tasks with one argument of BYTES characters; `work` is one consumer process,
set up as each library's guide has it for speed, results not kept. BENCH_BROKER is the Redis.
"""

import argparse
import asyncio
import os
import sys
from typing import Any

AT_ONCE = 100
"""Tasks in flight in one consumer, and tasks sent together."""


def celery(fill: tuple[int, int] | None) -> None:
    """One process without a pool behind it; messages acknowledged after the task."""
    from celery import Celery

    app = Celery("noop", broker=os.environ["BENCH_BROKER"])
    app.conf.update(
        task_acks_late=True,
        task_ignore_result=True,
        worker_prefetch_multiplier=AT_ONCE,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
    )

    @app.task(name="noop")
    def noop(encoded: str) -> None:
        """Nothing."""

    if fill is None:
        options = ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        app.worker_main(["worker", "-P", "solo", "-c", "1", "--loglevel", "error", *options])
        return
    with app.producer_pool.acquire(block=True) as producer:
        for _ in range(fill[0]):
            noop.apply_async(("x" * fill[1],), producer=producer)


def arq(fill: tuple[int, int] | None) -> None:
    """One worker; it polls every 5 ms."""
    from arq import create_pool, func, run_worker
    from arq.connections import RedisSettings

    where = RedisSettings.from_dsn(os.environ["BENCH_BROKER"])

    async def noop(context: dict[Any, Any], encoded: str) -> None:  # Any: arq's own type
        """Nothing."""

    class Worker:
        functions = (func(noop, name="noop", keep_result=0),)
        redis_settings = where
        max_jobs = AT_ONCE
        poll_delay = 0.005
        log_results = False

    async def enqueue(count: int, size: int) -> None:
        pool = await create_pool(where)
        for start in range(0, count, AT_ONCE):
            some = range(min(AT_ONCE, count - start))
            await asyncio.gather(*(pool.enqueue_job("noop", "x" * size) for _ in some))
        await pool.aclose()

    if fill is None:
        run_worker(Worker)
    else:
        asyncio.run(enqueue(*fill))


def streaq(fill: tuple[int, int] | None) -> None:
    """One worker."""
    from streaq import Worker

    worker = Worker(redis_url=os.environ["BENCH_BROKER"], concurrency=AT_ONCE)

    @worker.task(name="noop", ttl=0, silent=True)
    async def noop(encoded: str) -> None:
        """Nothing."""

    async def enqueue(count: int, size: int) -> None:
        async with worker:
            for start in range(0, count, AT_ONCE):
                some = range(min(AT_ONCE, count - start))
                await worker.enqueue_many([noop.enqueue("x" * size) for _ in some])

    if fill is None:
        worker.run_sync()
    else:
        asyncio.run(enqueue(*fill))


def taskiq(fill: tuple[int, int] | None) -> None:
    """One worker on the stream broker, which acknowledges; its app: bench.peers.noop_taskiq."""
    from bench.peers import noop_taskiq

    if fill is not None:
        asyncio.run(noop_taskiq.enqueue(*fill, AT_ONCE))
        return
    options = ["--workers", "1", "--max-async-tasks", str(AT_ONCE), "--log-level", "ERROR"]
    options += ["--max-prefetch", str(AT_ONCE), "--no-parse"]
    command = [sys.executable, "-m", "taskiq", "worker", "bench.peers.noop_taskiq:broker"]
    os.execv(sys.executable, [*command, *options])


LIBRARIES = {"celery": celery, "arq": arq, "streaq": streaq, "taskiq": taskiq}


def main() -> None:
    """Fill a queue or work on it."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.peers.noop", description="A part of `make bench-queue`."
    )
    parser.add_argument("library", choices=LIBRARIES)
    parser.add_argument("what", choices=["fill", "work"])
    parser.add_argument("count", type=int, nargs="?", default=0, help="how many tasks to queue")
    parser.add_argument("size", type=int, nargs="?", default=0, help="characters of each argument")
    given = parser.parse_args()
    if "BENCH_BROKER" not in os.environ:
        raise SystemExit("BENCH_BROKER is not set: this is a part of `make bench-queue`")
    LIBRARIES[given.library]((given.count, given.size) if given.what == "fill" else None)


if __name__ == "__main__":
    main()
