"""What all measurements share: the machine, memory of processes, medians, tables, progress."""

import json
import os
import platform
import statistics
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

SAMPLE_SECONDS = 0.5
RESULTS = Path(__file__).with_name("results.json")


def machine() -> dict[str, str | int]:
    """What the figures of a report depend on."""
    return {
        "cpu": _cpu_model(),
        "cpus": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 0,
        "memory_mib": os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") >> 20,
        "system": f"{platform.system()} {platform.release().split('-')[0]}",
        "python": platform.python_version(),
        "when": datetime.now(UTC).isoformat(timespec="minutes"),
    }


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    models = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return models[0] if models else platform.machine()


def note(section: str, report: object, file: Path = RESULTS) -> None:
    """Replace one section of the results file, with the machine that it was measured on."""
    try:
        noted = json.loads(file.read_text())
    except (OSError, ValueError):
        noted = {}
    noted[section] = {"machine": machine(), **json.loads(json.dumps(report))}
    file.write_text(json.dumps(noted, indent=2) + "\n")


def process_tree(pid: int) -> list[int]:
    """A process and all that descend from it, by /proc."""
    found = [pid]
    for parent in found:
        for children in Path(f"/proc/{parent}/task").glob("*/children"):
            try:
                found += map(int, children.read_text().split())
            except OSError:
                continue  # it ended meanwhile
    return found


def memory_bytes(pids: Sequence[int]) -> int:
    """Memory of these processes, each shared page counted once (PSS)."""
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


class PeakMemory:
    """The most memory that a process and its descendants had while watched."""

    def __init__(self) -> None:
        self.bytes = 0

    @contextmanager
    def watching(self, pid: int) -> Iterator[None]:
        """Sample during the block."""
        over = threading.Event()

        def sample() -> None:
            while not over.is_set():
                self.bytes = max(self.bytes, memory_bytes(process_tree(pid)))
                over.wait(SAMPLE_SECONDS)

        sampler = threading.Thread(target=sample, daemon=True)
        sampler.start()
        try:
            yield
        finally:
            over.set()
            sampler.join()


def median(values: Sequence[float]) -> float:
    """The middle one."""
    return statistics.median(values)


def spread(values: Sequence[float]) -> float:
    """Largest less smallest, as a part of the median: the less, the surer the figure."""
    middle = median(values)
    return (max(values) - min(values)) / middle if middle else 0.0


def say(text: str) -> None:
    """Tell progress, on standard error."""
    print(text, file=sys.stderr, flush=True)


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Columns for a terminal: the first left-aligned, figures right-aligned."""
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    lines = []
    for row in (head, *rows):
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True)]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)
