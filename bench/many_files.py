"""A folder of 200,000 tiny files: memory of every process, stalls of Redis, and fairness.

    python -m bench.many_files [--files 200000] [--small 100] [--pause 5]

Starts a Redis, one ingest, one detector and one writer, submits the folder, and 5 s later a small
one. Prints the peaks of memory, the slowest commands of Redis, and when each submission ended.
"""

import argparse
import asyncio
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import cv2
import numpy as np
from redis.asyncio import Redis

from bench.material import chosen_weights
from bench.servers import persistent_server
from services.cli.sending.parts import Submission
from shared.catalog import Catalog
from shared.errors import FacesError
from shared.model_table import MODELS
from shared.recipe import Recipe
from shared.settings import Settings
from shared.streams.client import connect
from shared.streams.producer import Producer

SERVICES = ("ingest", "detector", "writer")
FILES_A_FOLDER = 50_000
LOOK_SECONDS = 0.5
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
    """The process ids of a process' children."""
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
    """Look at every process and at Redis every LOOK_SECONDS, until cancelled."""
    while True:
        for name, pid in processes.items():
            peaks.see(name, resident_bytes(pid))
            for child in children(pid):
                peaks.see(f"{name} child", resident_bytes(child))
        memory = await client.info("memory")
        peaks.see("redis used_memory", int(memory["used_memory"]))
        await asyncio.sleep(LOOK_SECONDS)


class Services:
    """The running services, by name, and their logs in a folder."""

    def __init__(self, processes: Mapping[str, "subprocess.Popen[bytes]"], logs: Path) -> None:
        self.processes = processes
        self._logs = logs

    @property
    def pids(self) -> dict[str, int]:
        """Process ids by name."""
        return {name: process.pid for name, process in self.processes.items()}

    def check(self) -> None:
        """See that all still run.

        Raises:
            SystemExit: one has ended; with the last line of its log.
        """
        for name, process in self.processes.items():
            if process.poll() is not None:
                said = (self._logs / f"{name}.log").read_text(errors="replace").strip()
                last = said.splitlines()[-1] if said else "without a word"
                raise SystemExit(f"{name} ended with {process.returncode}: {last}")


@contextmanager
def started(environment: Mapping[str, str], logs: Path) -> Iterator[Services]:
    """The services as processes of their own; they drain at the end of the block."""
    running: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name in SERVICES:
            with (logs / f"{name}.log").open("wb") as log:
                running[name] = subprocess.Popen(
                    [sys.executable, "-m", f"services.{name}"],
                    env=os.environ | environment,
                    stdout=log,
                    stderr=log,
                )
        yield Services(running, logs)
    finally:
        for process in running.values():
            process.terminate()
        for process in running.values():
            process.wait(30)


async def follow(catalog: Catalog, submission: str, began: float, services: Services) -> float:
    """Seconds from `began` until the ledger says that a submission is complete.

    Raises:
        SystemExit: a service ended.
    """
    while True:
        services.check()
        with suppress(FacesError):
            if (await catalog.reader.submission(submission)).complete:
                return time.monotonic() - began
        await asyncio.sleep(LOOK_SECONDS)


async def measure(
    folder: Path, settings: Settings, services: Services, redis_pid: int, pause: float
) -> None:
    """Submit both folders, the small one after `pause` seconds, and print what was seen."""
    client = connect(settings.redis_url)
    await client.config_set("slowlog-log-slower-than", 1000)
    producer = Producer(client, settings)
    recipe = Recipe(model=settings.model, model_version=MODELS[settings.model].version)
    catalog = await Catalog.open(settings.database_url.get_secret_value())
    peaks = Peaks()
    sampling = asyncio.create_task(sample(peaks, services.pids | {"redis": redis_pid}, client))
    began = time.monotonic()
    submissions = []
    for name, wait in (("large", pause), ("small", 0.0)):
        submission = Submission(producer, recipe, name)
        await submission.add_path(folder / name)
        await submission.close()
        submissions.append(submission.id)
        await asyncio.sleep(wait)
    large, small = await asyncio.gather(
        *(follow(catalog, submission, began, services) for submission in submissions)
    )
    sampling.cancel()
    count = sum(1 for _ in (folder / "large").rglob("*.jpg"))
    print(f"large: done after {large:.1f} s, {count / large:.0f} images/s")
    print(f"small: submitted after {pause:g} s, done after {small:.1f} s")
    for name, value in sorted(peaks.bytes.items()):
        print(f"peak of {name}: {value / MEBIBYTE:.0f} MiB")
    slow = await client.slowlog_get(1000)
    durations = sorted((entry["duration"] / 1000 for entry in slow), reverse=True)
    print(f"slowest commands of Redis, ms: {[round(one, 1) for one in durations[:5]]}")
    await catalog.close()
    await client.aclose()


def main(arguments: Sequence[str] | None = None) -> None:
    """Make the files, start everything, measure."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.many_files", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--files", type=int, default=200_000, help="in the large folder")
    parser.add_argument("--small", type=int, default=100, help="files in the small folder")
    parser.add_argument("--pause", type=float, default=5, help="seconds between the two folders")
    options = parser.parse_args(arguments)
    os.environ.setdefault("FACES_MODEL", "haar")  # the tiny pictures hold no face
    weights = chosen_weights(None)
    with tempfile.TemporaryDirectory(prefix="faces-many-") as name:
        folder = Path(name)
        make_files(folder / "large", options.files)
        make_files(folder / "small", options.small)
        with persistent_server(folder / "redis") as (redis_url, redis_pid):
            environment = weights.environment() | {
                "FACES_REDIS_URL": redis_url,
                "FACES_DATABASE_URL": f"sqlite:///{folder}/faces.db",
                "FACES_OBJECTS_URL": f"file://{folder}/objects",
                "FACES_SOURCE_ROOTS": str(folder),
            }
            settings = Settings.load(
                {name.removeprefix("FACES_").lower(): value for name, value in environment.items()}
            )
            with started(environment, folder) as services:
                asyncio.run(measure(folder, settings, services, redis_pid, options.pause))


if __name__ == "__main__":
    main()
