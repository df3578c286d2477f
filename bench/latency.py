"""How long one image takes through an idle suite, and a run to its first result.

    python -m bench.latency [--images FOLDER] [--rounds 30] [--starts 3]

Latency is the time from the call that submits a folder of one picture to the commit of its row,
beside the time that the picture itself took in its slot; both are medians. The first result is the
first committed row of `faces run`, from the start of its command, on a new output folder.
"""

import argparse
import asyncio
import os
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import uvloop

from bench.contenders import repeated
from bench.material import chosen_pictures, chosen_weights
from bench.measuring import median, note
from bench.suite import Suite, suite
from shared.catalog import Filter
from shared.errors import Exit

LOOK_SECONDS = 0.001
PAUSE_SECONDS = 0.3
"""Between two images, so that the suite is idle again."""

START_LIMIT_SECONDS = 60
FINE = (Exit.DONE, Exit.SOME_FAILED)
PICTURES = 16


async def one_image(running: Suite, picture: Path, folder: Path) -> tuple[float, float]:
    """Milliseconds from submission to committed row, and of the picture itself."""
    repeated([picture], 1, folder)
    await asyncio.sleep(PAUSE_SECONDS)
    database = running.plan.out / "faces.db"
    # Looked at beside the suite's own loop, whose turns a look through the catalog would take.
    with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
        before = _rows(connection)
        began = time.perf_counter()
        submission = await running.submit(folder, follow=False)
        while _rows(connection) == before:  # noqa: ASYNC110 - SQLite sets no event
            await asyncio.sleep(LOOK_SECONDS)
        passed = (time.perf_counter() - began) * 1000
    [row] = await running.catalog.reader.page(Filter(submission=submission))
    return passed, row.detect_ms or 0.0


async def latencies(pictures: Sequence[Path], rounds: int, scratch: Path) -> dict[str, object]:
    """One image after the other, each alone."""
    async with suite(scratch / "out", 2) as running:
        for number in range(3):  # warm
            await one_image(running, pictures[0], scratch / f"warm-{number}")
        measured = [
            await one_image(running, pictures[number % len(pictures)], scratch / f"in-{number}")
            for number in range(rounds)
        ]
    overheads = [passed - own for passed, own in measured]
    return {
        "images": rounds,
        "latency_ms": round(median([passed for passed, _ in measured]), 1),
        "own_ms": round(median([own for _, own in measured]), 1),
        "overhead_ms": round(median(overheads), 1),
        "overhead_worst_ms": round(max(overheads), 1),
    }


def first_result(pictures: Sequence[Path], scratch: Path) -> float:
    """Seconds from the command to its first committed row; the run then goes on to its end.

    Raises:
        SystemExit: the run ended, or took a minute, without a row.
    """
    folder, out = scratch / "in", scratch / "out"
    repeated(pictures, 1, folder)
    command = [sys.executable, "-m", "services.cli", "run", str(folder), "-o", str(out), "-q"]
    began = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        while not _has_row(out / "faces.db"):
            if (
                process.poll() not in (None, *FINE)
                or time.perf_counter() - began > START_LIMIT_SECONDS
            ):
                raise SystemExit(f"the run ended with {process.poll()} and no result")
            time.sleep(0.005)
        return time.perf_counter() - began
    finally:
        process.wait(START_LIMIT_SECONDS)


def _rows(connection: sqlite3.Connection) -> int:
    """How many rows have been committed."""
    found = connection.execute("SELECT count(*) FROM images WHERE committed_at IS NOT NULL")
    return int(found.fetchone()[0])


def _has_row(database: Path) -> bool:
    if not database.exists():
        return False
    try:
        with closing(sqlite3.connect(f"{database.as_uri()}?mode=ro", uri=True)) as connection:
            return _rows(connection) > 0
    except sqlite3.Error:  # its tables are being made
        return False


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and report."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.latency", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--images", type=Path, help="folder of pictures to measure on")
    parser.add_argument("--models", type=Path, help="folder of model weights")
    parser.add_argument("--rounds", type=int, default=30, help="how many images, one by one")
    parser.add_argument("--starts", type=int, default=3, help="runs timed to their first result")
    parser.add_argument("--save", action="store_true", help="write results.json")
    given = parser.parse_args(arguments)
    os.environ |= chosen_weights(given.models).environment()
    with tempfile.TemporaryDirectory(prefix="faces-bench-") as folder:
        scratch = Path(folder)
        pictures = chosen_pictures(given.images, PICTURES, scratch)
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            report = runner.run(latencies(pictures, given.rounds, scratch))
        starts = [first_result(pictures, scratch / f"start-{n}") for n in range(given.starts)]
    if starts:
        report["first_result_seconds"] = round(median(starts), 2)
    for name, value in report.items():
        print(f"{name:22} {value}")
    if given.save:
        note("latency", report)


if __name__ == "__main__":
    main()
