"""One consumer process of `bench.queue` and `bench.scale`: our runner, or a bare loop.

    python -m bench.consumer URL stage  [--batch N] [--concurrency N] [--sleep-ms MS] ...
    python -m bench.consumer URL bare

`stage` is the runner with a handler that does nothing (or sleeps): it takes an image message and
its payload, where there is one, and hands the message on. `bare` reads, adds, acknowledges and
deletes with pipelines and nothing else: the limit of what a stage on Redis Streams can do.
"""

import argparse
import asyncio
import os
import signal
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Any

import uvloop
from redis.asyncio import Redis

from shared.garbage import collect_seldom
from shared.health import Health
from shared.logs import configure_logs
from shared.messages import ImageMessage, Message, Payload
from shared.settings import Settings
from shared.streams.client import connect
from shared.streams.keys import IMAGES, RESULTS, Keys
from shared.streams.payloads import Payloads
from shared.streams.runner import Stage, open_stage_of
from shared.streams.stage import Done, Outcome, Output, StageSpec, Work

NO_MARK = 1 << 50
BARE_COUNT = 100


def settings_of(url: str, prefix: str) -> Settings:
    """Settings under which no stream is ever full."""
    return Settings.load(
        {
            "redis_url": url,
            "prefix": prefix,
            "high_water": NO_MARK,
            "high_water_bytes": NO_MARK,
            "log_level": "error",
        }
    )


class PassedOn(ImageMessage):
    """An image message that goes on to the results unchanged: this handler makes no result."""

    stream = RESULTS


class NoOp:
    """The handler: fetches the payload, sleeps if told to, and hands the message on.

    `slots` is how many may sleep at once; `returns` is the size in bytes of the picture handed on.
    """

    def __init__(self, payloads: Payloads, sleep: float, slots: int, returns: int) -> None:
        self._payloads = payloads
        self._sleep = sleep
        self._slots = asyncio.Semaphore(slots)
        self._picture = b"x" * returns

    async def handle(self, works: Sequence[Work[PassedOn]]) -> Sequence[Outcome]:
        """One output a message."""
        payloads = [work.message.payload for work in works if work.message.payload]
        if payloads:
            await self._payloads.get_many(payloads)
        if self._sleep:
            async with self._slots:
                await asyncio.sleep(self._sleep)
        return [Done((self._output(work.message),)) for work in works]

    def _output(self, message: PassedOn) -> Output:
        """The message without the payload that came in, with one that goes out if asked for."""
        if self._picture:
            payload = Payload.of(self._picture)
            return Output(message.model_copy(update={"payload": payload}), {payload: self._picture})
        return Output(message.model_copy(update={"payload": None}) if message.payload else message)


def _never(*_: object) -> Message | None:
    return None


async def run_stages(given: argparse.Namespace) -> None:
    """`given.stages` consumers in this process, until SIGTERM."""
    settings = settings_of(given.url, given.prefix)
    configure_logs(settings)
    collect_seldom()
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    async with AsyncExitStack() as opened, asyncio.TaskGroup() as tasks:
        for _ in range(given.stages):
            client = connect(settings.redis_url)
            opened.push_async_callback(client.aclose)
            payloads = Payloads(client, Keys(settings.prefix), settings.inline_limit_bytes)
            no_op = NoOp(payloads, given.sleep_ms / 1000, given.slots, given.returns)
            spec = StageSpec(
                name="detector",
                stream=IMAGES,
                decode=PassedOn.decode,
                handle=no_op.handle,
                failed=_never,
                concurrency=given.concurrency,
                batch=given.batch,
            )
            stage: Stage[PassedOn] = await opened.enter_async_context(
                open_stage_of(spec, settings, Health(), client)
            )
            tasks.create_task(stage.run(stop))


async def run_bare(url: str, prefix: str) -> None:
    """Read, add, acknowledge, delete: two round trips for up to BARE_COUNT entries."""
    client: Redis = Redis.from_url(url, protocol=2)
    keys = Keys(prefix)
    stream, results = keys.stream(IMAGES), keys.stream(RESULTS)
    name = str(os.getpid())
    while True:
        answer: Any = await client.xreadgroup(  # Any: redis-py types all protocols at once
            "detector", name, {stream: ">"}, count=BARE_COUNT, block=1000
        )
        if not answer:
            continue
        entries = answer[0][1]
        async with client.pipeline(transaction=False) as pipeline:
            for _, fields in entries:
                pipeline.xadd(results, fields)
            ids = [identity for identity, _ in entries]
            pipeline.xack(stream, "detector", *ids)
            pipeline.xdel(stream, *ids)
            await pipeline.execute()


def main() -> None:
    """Consume until SIGTERM."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.consumer", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("url", help="of Redis, such as redis://127.0.0.1:6379/0")
    parser.add_argument("kind", choices=["stage", "bare"])
    parser.add_argument("--prefix", default="bench")
    parser.add_argument("--stages", type=int, default=1, help="consumers in this process")
    parser.add_argument("--batch", type=int, default=1)
    parser.add_argument("--concurrency", type=int, default=1)
    parser.add_argument("--slots", type=int, default=1, help="how many sleep at once")
    parser.add_argument("--sleep-ms", type=float, default=0)
    parser.add_argument("--returns", type=int, default=0, help="bytes of the picture handed on")
    given = parser.parse_args()
    work = run_stages(given) if given.kind == "stage" else run_bare(given.url, given.prefix)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(work)


if __name__ == "__main__":
    main()
