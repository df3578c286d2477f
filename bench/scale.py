"""What waiting costs, and how many detectors one Redis carries.

    python -m bench.scale [--backlogs 1000 1000000] [--detectors 1 4 16 64] [--seconds 10]

First part: the same stage takes images off a short and a very long backlog; Redis' CPU time an
image, its memory before, at the peak, and after the last one is gone.

Second part: simulated detectors, each of two slots that sleep as long as a detection takes, by
reference and inline; images a second beside what sleeping alone would give, and Redis' CPU. One
core of Redis divided by its time an image is how many images a second it carries, and that divided
by one detector's pace is how many detectors.

The server is the one in PATH, if there is one: only clusters let a million wait.
"""

import argparse
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import redis

from bench.backlog import fill
from bench.environments import ROOT
from bench.measuring import note, table
from bench.servers import Look, fresh_server, prefer_installed, url_of, version
from shared.streams.keys import IMAGES, RESULTS, Keys

PREFIX = "bench"
KEYS = Keys(PREFIX)
STREAM = KEYS.stream(IMAGES)
SLOTS = 2
MEBIBYTE = 1 << 20
LOOK_SECONDS = 0.05
SLOWEST_SECONDS = 900
FIRST = 800
"""Images over which the cost is taken, at the beginning of either backlog."""


Processes = Sequence["subprocess.Popen[bytes]"]


@dataclass(frozen=True)
class Work:
    """A simulated detection: how long it sleeps, and what travels through Redis."""

    name: str
    milliseconds: float
    image_bytes: int
    picture_bytes: int


@contextmanager
def consumers(client: redis.Redis, count: int, options: Sequence[str]) -> Iterator[Processes]:
    """`count` stages, spread over as many processes as there are CPUs."""
    processes = min(count, os.cpu_count() or 1)
    shares = [count // processes + (n < count % processes) for n in range(processes)]
    command = [sys.executable, "-m", "bench.consumer", url_of(client), "stage", *options]
    running = [
        subprocess.Popen([*command, "--stages", str(share)], cwd=ROOT, stdout=2) for share in shares
    ]
    try:
        yield running
    finally:
        for process in running:
            process.terminate()
        for process in running:
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def left(client: redis.Redis) -> int:
    """Images that are not finished."""
    return int(client.xlen(STREAM))


def until(client: redis.Redis, most: int, working: Processes) -> tuple[float, Look, int]:
    """Wait until no more than `most` are left; the time then, a look at the server, what is left.

    Raises:
        SystemExit: a consumer ended, or it took more than SLOWEST_SECONDS.
    """
    deadline = time.monotonic() + SLOWEST_SECONDS
    while (still := left(client)) > most:
        for process in working:
            if process.poll() is not None:
                raise SystemExit(f"a consumer ended with {process.returncode}: see above")
        if time.monotonic() > deadline:
            raise SystemExit(f"{still} images are still waiting after {SLOWEST_SECONDS} s")
        time.sleep(LOOK_SECONDS)
    return time.perf_counter(), Look.at(client), still


def backlog(count: int) -> dict[str, object]:
    """Cost of the first images of a backlog, then memory when all of it is gone."""
    with fresh_server() as client:
        client.xgroup_create(STREAM, "detector", id="0", mkstream=True)
        empty = Look.at(client)
        fill(client, PREFIX, count)
        full = Look.at(client)
        slowly = ["--concurrency", str(2 * SLOTS), "--slots", str(SLOTS), "--sleep-ms", "2"]
        with consumers(client, 1, slowly) as working:
            began, first, left_first = until(client, count - FIRST // 10, working)
            ended, last, left_last = until(client, count - FIRST, working)
        done = left_first - left_last
        with consumers(client, 1, ["--batch", "500", "--concurrency", "2"]) as working:
            while left(client) > 0:
                client.xtrim(KEYS.stream(RESULTS), maxlen=1000)  # a writer that keeps up
                until(client, max(0, left(client) - 50_000), working)
        client.delete(KEYS.stream(RESULTS), KEYS.in_flight)  # as the writer's hand-off leaves them
        _until_freed(client)
        after = Look.at(client)
    work = last.since(first)
    return {
        "backlog": count,
        "redis_us_an_image": round(work.cpu_seconds / done * 1e6, 1),
        "images_per_second": round(done / (ended - began)),
        "memory_empty_mib": round(empty.used_bytes / MEBIBYTE, 1),
        "memory_full_mib": round(full.used_bytes / MEBIBYTE, 1),
        "memory_peak_mib": round(after.peak_bytes / MEBIBYTE, 1),
        "memory_after_mib": round(after.used_bytes / MEBIBYTE, 1),
    }


def _until_freed(client: redis.Redis) -> None:
    """Wait at most 10 s for what the server frees in the background."""
    client.memory_purge()
    for _ in range(200):
        told: dict[str, Any] = client.info("memory")  # Any: INFO's values differ in type
        if not told.get("lazyfree_pending_objects"):
            return
        time.sleep(LOOK_SECONDS)


def detectors(count: int, work: Work, seconds: float) -> dict[str, object]:
    """`count` detectors for `seconds`: what they did, and what it cost Redis."""
    pace = SLOTS * 1000 / work.milliseconds
    with fresh_server() as client:
        client.xgroup_create(STREAM, "detector", id="0", mkstream=True)
        images = int(1.3 * pace * count * (seconds + 2)) + 100
        if work.image_bytes:
            most = (2 << 30) // (work.image_bytes + work.picture_bytes)
            images = min(images, most)
        fill(client, PREFIX, images, payload_bytes=work.image_bytes)
        options = ["--concurrency", str(2 * SLOTS), "--slots", str(SLOTS)]
        options += ["--sleep-ms", str(work.milliseconds), "--returns", str(work.picture_bytes)]
        with consumers(client, count, options) as working:
            began, first, left_first = until(client, images - images // 10, working)
            ended, last, left_last = began, first, left_first
            while ended - began < seconds and left_last > images // 20:
                time.sleep(min(0.5, seconds))
                ended, last, left_last = until(client, images, working)
    done = max(1, left_first - left_last)
    did = last.since(first)
    rate = done / (ended - began) if ended > began else 0.0
    cost = did.cpu_seconds / done
    return {
        "detectors": count,
        "way": work.name,
        "images_per_second": round(rate, 1),
        "of_ideal": round(rate / (pace * count), 3),
        "redis_cpu": round(did.cpu_seconds / (ended - began), 3) if ended > began else None,
        "redis_us_an_image": round(cost * 1e6, 1),
        "images_a_redis_core": round(1 / cost) if cost else None,
        "detectors_a_redis": round(1 / cost / pace) if cost else None,
    }


def middle(rows: Sequence[dict[str, object]], figure: str) -> dict[str, object]:
    """The row whose figure is the median."""
    return sorted(rows, key=lambda row: float(str(row[figure])))[len(rows) // 2]


def shown(rows: Sequence[dict[str, object]]) -> str:
    """The table."""
    names = list(rows[0])
    return table(names, [[str(row[name]) for name in names] for row in rows])


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.scale", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument(
        "--backlogs", type=int, nargs="*", default=[1000, 1_000_000], help="how many images wait"
    )
    parser.add_argument(
        "--detectors", type=int, nargs="*", default=[1, 2, 4, 8, 16, 32, 64], help="how many run"
    )
    parser.add_argument("--seconds", type=float, default=10, help="of each number of detectors")
    parser.add_argument("--rounds", type=int, default=5, help="of each backlog; the median counts")
    parser.add_argument("--detection-ms", type=float, default=55, help="of one image in a slot")
    parser.add_argument("--image-bytes", type=int, default=360_000, help="of an inline picture")
    parser.add_argument("--picture-bytes", type=int, default=450_000, help="of an annotated one")
    parser.add_argument("--save", action="store_true", help="write results.json")
    given = parser.parse_args(arguments)
    ways = (
        Work("by reference", given.detection_ms, 0, 0),
        Work("inline", given.detection_ms, given.image_bytes, given.picture_bytes),
    )
    if min(given.backlogs, default=FIRST) < FIRST:
        parser.error(f"--backlogs: the cost is taken over {FIRST} images; give at least as many")
    prefer_installed()
    rounds = [[backlog(count) for count in given.backlogs] for _ in range(given.rounds)]
    waiting = [middle(of_one, "redis_us_an_image") for of_one in zip(*rounds, strict=True)]
    if waiting:
        print(shown(waiting), flush=True)
    scaled = [detectors(n, way, given.seconds) for way in ways for n in given.detectors]
    if scaled:
        print(shown(scaled))
    if given.save:
        with fresh_server() as client:
            server = version(client)
        note("scale", {"server": server, "backlog": waiting, "detectors": scaled})


if __name__ == "__main__":
    main()
