"""Messages a second through one stage with a handler that does nothing, beside other queues.

    python -m bench.queue [--rounds 3] [--messages 20000] [--consumers 1 4] [--sizes 1000 200000]

Each trial has a server of its own: the backlog is filled, the consumers start, and the middle 80 %
of the messages is timed. `limit` is a loop that only reads, adds, acknowledges and deletes, with
pipelines. Messages of 10 kB and more are payloads in our stage, and arguments of the task in the
others. Our stage and the limit hand each message on; the others keep no results.
"""

import argparse
import os
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import redis

from bench.backlog import fill
from bench.environments import ROOT, lacks, python_of
from bench.measuring import median, note, say, spread, table
from bench.servers import Look, fresh_server, url_of, version
from shared.streams.keys import IMAGES, Keys

PREFIX = "bench"
STREAM = Keys(PREFIX).stream(IMAGES)
LOOK_SECONDS = 0.02
SLOWEST_SECONDS = 120
LARGE_BYTES = 10_000
"""From this size on, a tenth as many messages are sent, with payloads in our stage."""


@dataclass(frozen=True)
class Queue:
    """One line of the table: how to fill it, consume it, and count what is left.

    `environment` is one of `bench.environments`.
    """

    name: str
    title: str
    environment: str
    consumer: tuple[str, ...]
    left: Callable[[redis.Redis], int]

    @property
    def python(self) -> Path:
        """The interpreter of its environment."""
        return python_of(self.environment)

    def fill(self, client: redis.Redis, count: int, size: int) -> None:
        """Add the backlog."""
        if self.environment:
            command = ["-m", "bench.peers.noop", self.name, "fill", str(count), str(size)]
            subprocess.run(
                [self.python, *command],
                env=self._variables(client),
                check=True,
                cwd=ROOT,
                stdout=2,
            )
            return
        client.xgroup_create(STREAM, "detector", id="0", mkstream=True)
        inline = size if size >= LARGE_BYTES and self.name != "limit" else 0
        fill(client, PREFIX, count, payload_bytes=inline, entry_bytes=size)

    @contextmanager
    def working(self, client: redis.Redis, log: Path) -> Iterator["subprocess.Popen[bytes]"]:
        """One consumer process, during the block."""
        arguments = ["bench.peers.noop", self.name, "work"]
        if not self.environment:
            arguments = ["bench.consumer", url_of(client), *self.consumer]
        with log.open("ab") as output:
            process = subprocess.Popen(
                [self.python, "-m", *arguments],
                env=self._variables(client),
                cwd=ROOT,
                stdout=output,
                stderr=output,
            )
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(3)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

    @staticmethod
    def _variables(client: redis.Redis) -> dict[str, str]:
        return os.environ | {"BENCH_BROKER": url_of(client), "PYTHONPATH": str(ROOT)}


def _stream(client: redis.Redis) -> int:
    return int(client.xlen(STREAM))


def _celery(client: redis.Redis) -> int:
    return int(client.llen("celery"))


def _arq(client: redis.Redis) -> int:
    return int(client.zcard("arq:queue"))


def _streaq(client: redis.Redis) -> int:
    return int(client.xlen("streaq:default:queues:normal"))


def _taskiq(client: redis.Redis) -> int:
    groups: Any = client.xinfo_groups("taskiq")  # Any: redis-py types both kinds at once
    return sum(int(group["pending"]) + int(group["lag"] or 0) for group in groups)


BY_BATCH = ("stage", "--batch", "100", "--concurrency", "2")
BY_ONE = ("stage", "--concurrency", "64")

QUEUES = (
    Queue("limit", "bare read, add, ack, delete", "", ("bare",), _stream),
    Queue("batches", "faces, a handler of batches", "", BY_BATCH, _stream),
    Queue("single", "faces, 64 handlers of one", "", BY_ONE, _stream),
    Queue("celery", "Celery", "celery", (), _celery),
    Queue("streaq", "streaQ", "streaq", (), _streaq),
    Queue("taskiq", "taskiq-redis, streams", "taskiq", (), _taskiq),
    Queue("arq", "arq", "arq", (), _arq),
)


@dataclass(frozen=True)
class Trial:
    """Messages a second, and what each message cost."""

    rate: float
    commands: float
    trips: float
    server_cpu_us: float


class Stuck(Exception):
    """A queue did not move, or its consumer ended."""


def trial(queue: Queue, consumers: int, size: int, count: int) -> Trial:
    """Fill, consume, and time the middle of it.

    Raises:
        Stuck: it did not get through; with the last line of its consumers' log.
    """
    with (
        tempfile.TemporaryDirectory() as folder,
        ExitStack() as opened,
        fresh_server() as client,
    ):
        queue.fill(client, count, size)
        log = Path(folder) / "log"
        working = [opened.enter_context(queue.working(client, log)) for _ in range(consumers)]
        try:
            began, first, left_first = _until(queue, client, working, count * 9 // 10)
            ended, last, left_last = _until(queue, client, working, count // 10)
        except Stuck:
            words = log.read_text(errors="replace").strip().splitlines()
            raise Stuck(words[-1] if words else "nothing happened") from None
        opened.close()
    done = left_first - left_last
    if done <= 0:
        raise Stuck(f"done between two looks at {left_first} and {left_last}: give more --messages")
    work = last.since(first)
    return Trial(
        rate=done / (ended - began),
        commands=work.all_commands / done,
        trips=work.reads / done,
        server_cpu_us=work.cpu_seconds / done * 1e6,
    )


def _until(
    queue: Queue, client: redis.Redis, working: Sequence["subprocess.Popen[bytes]"], left: int
) -> tuple[float, Look, int]:
    deadline = time.monotonic() + SLOWEST_SECONDS
    while (still := queue.left(client)) > left:
        ended = any(process.poll() is not None for process in working)
        if ended or time.monotonic() > deadline:
            raise Stuck
        time.sleep(LOOK_SECONDS)
    return time.perf_counter(), Look.at(client), still


def measure(
    queues: Sequence[Queue], cases: Sequence[tuple[int, int]], messages: int, rounds: int
) -> list[dict[str, object]]:
    """All trials, interleaved; one row for each queue and case (consumers, bytes).

    A queue that is not installed is named once, one that fails each time; both are left out.
    """
    for queue in queues:
        if missing := lacks(queue.environment):
            say(f"{queue.title}: left out: {missing}")
    queues = [queue for queue in queues if not lacks(queue.environment)]
    gathered: dict[tuple[str, int, int], list[Trial]] = {}
    for _ in range(rounds):
        for consumers, size in cases:
            count = messages // 10 if size >= LARGE_BYTES else messages
            for queue in queues:
                try:
                    done = trial(queue, consumers, size, count)
                except (Stuck, OSError, subprocess.CalledProcessError) as error:
                    say(f"{queue.title}: left out: {error}")
                    continue
                gathered.setdefault((queue.name, consumers, size), []).append(done)
                say(f"{queue.title}, {consumers} on {size} bytes: {done.rate:,.0f} messages/s")
    return [
        _row(queue, consumers, size, gathered)
        for consumers, size in cases
        for queue in queues
        if (queue.name, consumers, size) in gathered
    ]


def _row(
    queue: Queue, consumers: int, size: int, gathered: dict[tuple[str, int, int], list[Trial]]
) -> dict[str, object]:
    trials = gathered[queue.name, consumers, size]
    rate = median([one.rate for one in trials])
    limit = gathered.get(("limit", consumers, size))
    return {
        "name": queue.name,
        "title": queue.title,
        "consumers": consumers,
        "payload_bytes": size,
        "messages_per_second": round(rate),
        "spread": round(spread([one.rate for one in trials]), 3),
        "of_limit": round(rate / median([one.rate for one in limit]), 3) if limit else None,
        "commands_a_message": round(median([one.commands for one in trials]), 2),
        "round_trips_a_message": round(median([one.trips for one in trials]), 3),
        "server_cpu_us_a_message": round(median([one.server_cpu_us for one in trials]), 1),
    }


def shown(rows: Sequence[dict[str, object]]) -> str:
    """The table. Round trips are the server's reads from sockets."""
    head = ("", "consumers", "bytes", "msg/s", "of limit", "commands", "round trips", "server us")
    keys: tuple[str, ...] = (
        "title",
        "consumers",
        "payload_bytes",
        "messages_per_second",
        "of_limit",
    )
    keys += ("commands_a_message", "round_trips_a_message", "server_cpu_us_a_message")
    return table(head, [tuple(str(row[key]) for key in keys) for row in rows])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.queue", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--messages", type=int, default=20_000, help="in the backlog")
    parser.add_argument("--consumers", type=int, nargs="+", default=[1, 4], help="how many at work")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 200_000], help="bytes")
    parser.add_argument("--only", action="append", choices=[one.name for one in QUEUES])
    parser.add_argument("--save", action="store_true", help="write results.json")
    given = parser.parse_args(arguments)
    cases = [(consumers, size) for size in given.sizes for consumers in given.consumers]
    chosen = [one for one in QUEUES if not given.only or one.name in given.only]
    rows = measure(chosen, cases, given.messages, given.rounds)
    if not rows:
        raise SystemExit("nothing could be measured: see above")
    print(shown(rows))
    if given.save:
        with fresh_server() as client:
            server = version(client)
        note("queue", {"server": server, "messages": given.messages, "rows": rows})


if __name__ == "__main__":
    main()
