"""A folder of 200,000 tiny files: memory of every process, stalls of Redis, and fairness.

`python -m bench.many_files --files 200000` starts a redis-server, one ingest, one detector and
one writer of its own, submits the folder, and a little later a second, small one. It prints the
peaks of memory, the slowest commands of Redis, and when each submission was done.
"""

import argparse
import asyncio
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
from redis.asyncio import Redis

from services.cli.sending.submission import Submission
from shared.catalog import Catalog
from shared.errors import FacesError
from shared.model_table import MODELS
from shared.recipe import Recipe
from shared.settings import Settings
from shared.streams.client import connect
from shared.streams.producer import Producer
from tests.support.servers import RedisServer

SERVICES = ("ingest", "detector", "writer")
FILES_A_FOLDER = 50_000
MEBIBYTE = 1 << 20


def make_files(folder: Path, count: int) -> None:
    """Tiny different pictures, 12 x 12 pixels, in folders of FILES_A_FOLDER."""
    draw = np.random.default_rng(count)
    for number in range(count):
        if number % FILES_A_FOLDER == 0:
            inside = folder / f"{number // FILES_A_FOLDER:03}"
            inside.mkdir(parents=True)
        pixels = draw.integers(0, 255, (12, 12, 3), dtype=np.uint8)
        _, content = cv2.imencode(".jpg", pixels)
        (inside / f"{number:07}.jpg").write_bytes(content.tobytes())


def resident_bytes(pid: int) -> int:
    """Resident memory of a process, in bytes; 0 if it is gone."""
    try:
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 0


def children(pid: int) -> list[int]:
    """Process ids of a process' children."""
    with suppress(OSError):
        found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        return [int(child) for child in found]
    return []


class Peaks:
    """The largest value seen of each figure."""

    def __init__(self) -> None:
        self.bytes: dict[str, int] = {}

    def see(self, name: str, value: int) -> None:
        self.bytes[name] = max(self.bytes.get(name, 0), value)


async def sample(peaks: Peaks, processes: dict[str, int], client: Redis) -> None:
    """Look at every process and at Redis twice a second, until cancelled."""
    while True:
        for name, pid in processes.items():
            peaks.see(name, resident_bytes(pid))
            for child in children(pid):
                peaks.see(f"{name} child", resident_bytes(child))
        memory = await client.info("memory")
        peaks.see("redis used_memory", int(memory["used_memory"]))
        await asyncio.sleep(0.5)


async def follow(catalog: Catalog, submission: str, began: float) -> float:
    """Seconds from `began` until the ledger says that a submission is complete."""
    while True:
        with suppress(FacesError):
            if (await catalog.progress(submission)).complete:
                return time.monotonic() - began
        await asyncio.sleep(0.5)


async def measure(folder: Path, settings: Settings, processes: dict[str, int]) -> None:
    """Submit both folders, wait for both, and print what was seen."""
    client = connect(settings.redis_url)
    await client.config_set("slowlog-log-slower-than", 1000)
    producer = Producer(client, settings)
    recipe = Recipe(model=settings.model, model_version=MODELS[settings.model].version)
    catalog = await Catalog.open(settings.database_url.get_secret_value())
    peaks = Peaks()
    sampling = asyncio.create_task(sample(peaks, processes, client))
    began = time.monotonic()
    waiting = []
    for name in ("large", "small"):
        submission = Submission(producer, recipe, name)
        await submission.add_path(folder / name)
        await submission.close()
        waiting.append(follow(catalog, submission.id, began))
        await asyncio.sleep(5)
    large, small = await asyncio.gather(*waiting)
    sampling.cancel()
    count = sum(1 for _ in (folder / "large").rglob("*.jpg"))
    print(f"large: done after {large:.1f} s, {count / large:.0f} images/s")
    print(f"small: submitted after 5 s, done after {small:.1f} s")
    for name, value in sorted(peaks.bytes.items()):
        print(f"peak of {name}: {value / MEBIBYTE:.0f} MiB")
    slow = await client.slowlog_get(1000)
    durations = sorted((entry["duration"] / 1000 for entry in slow), reverse=True)
    print(f"slowest commands of Redis, ms: {[round(one, 1) for one in durations[:5]]}")
    await catalog.close()
    await client.aclose()


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.many_files", description=__doc__)
    parser.add_argument("--files", type=int, default=200_000)
    parser.add_argument("--small", type=int, default=100)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory(prefix="faces-many-") as name:
        folder = Path(name)
        make_files(folder / "large", options.files)
        make_files(folder / "small", options.small)
        server = RedisServer(folder / "redis", "--appendonly", "yes", binary="redis-server")
        server.start()
        settings = Settings.load(
            {
                "redis_url": server.url,
                "database_url": f"sqlite:///{folder}/faces.db",
                "objects_url": f"file://{folder}/objects",
                "source_roots": (folder,),
                "model": os.environ.get("FACES_MODEL", "haar"),
            }
        )
        environment = os.environ | {
            "FACES_REDIS_URL": server.url,
            "FACES_DATABASE_URL": settings.database_url.get_secret_value(),
            "FACES_OBJECTS_URL": settings.objects_url,
            "FACES_SOURCE_ROOTS": str(folder),
            "FACES_MODEL": settings.model,
        }
        running = {
            service: subprocess.Popen(
                [sys.executable, "-m", f"services.{service}"],
                env=environment,
                stderr=(folder / f"{service}.log").open("wb"),
            )
            for service in SERVICES
        }
        try:
            assert server.process is not None
            pids = {service: process.pid for service, process in running.items()}
            asyncio.run(measure(folder, settings, pids | {"redis": server.process.pid}))
        finally:
            for process in running.values():
                process.send_signal(signal.SIGTERM)
            for process in running.values():
                process.wait(30)
            server.kill()


if __name__ == "__main__":
    main()
