"""The measured figures as tables for docs/performance.md, from bench/results.json.

python -m bench.report            print them
python -m bench.report --write    put them between the marks of docs/performance.md
"""

import argparse
import json
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bench.measuring import RESULTS

DOCUMENT = Path(__file__).parents[1] / "docs" / "performance.md"
BEGIN, END = "<!-- figures: {} -->", "<!-- end -->"

Section = Mapping[str, Any]  # Any: as JSON has it

COLUMNS: dict[str, tuple[str, dict[str, str]]] = {
    "throughput": (
        "contenders",
        {
            "title": "",
            "images_per_second": "images/s",
            "ratio": "faces is",
            "faces_found": "faces found",
            "labelled_found": "of the labelled",
            "labelled_others": "others",
            "peak_memory_mib": "peak MiB",
            "spread": "spread",
        },
    ),
    "queue": (
        "rows",
        {
            "title": "",
            "consumers": "consumers",
            "payload_bytes": "bytes",
            "messages_per_second": "messages/s",
            "of_limit": "of the limit",
            "commands_a_message": "commands",
            "round_trips_a_message": "round trips",
            "server_cpu_us_a_message": "server us",
        },
    ),
    "backlog": (
        "backlog",
        {
            "backlog": "waiting",
            "redis_us_an_image": "Redis us an image",
            "images_per_second": "images/s",
            "memory_empty_mib": "MiB empty",
            "memory_full_mib": "full",
            "memory_peak_mib": "peak",
            "memory_after_mib": "after",
        },
    ),
    "detectors": (
        "detectors",
        {
            "way": "",
            "detectors": "detectors",
            "images_per_second": "images/s",
            "of_ideal": "of the ideal",
            "redis_cpu": "Redis CPU",
            "redis_us_an_image": "us an image",
            "detectors_a_redis": "one Redis carries",
        },
    ),
}


def markdown(rows: Sequence[Section], columns: Mapping[str, str]) -> str:
    """A table: the first column left-aligned, figures right-aligned."""
    lines = [" | ".join(columns.values()), " | ".join(["---", *["---:"] * (len(columns) - 1)])]
    lines += [" | ".join(_cell(row.get(name)) for name in columns) for row in rows]
    return "\n".join(f"| {line} |" for line in lines)


def _cell(value: object) -> str:
    if value is None:
        return ""
    return f"{value:,}" if isinstance(value, int | float) else str(value)


def machine_line(section: Section) -> str:
    """Where and when it was measured."""
    told = section["machine"]
    return (
        f"{told['cpu']}, {told['cpus']} CPUs, {told['memory_mib']:,} MiB, {told['system']}, "
        f"Python {told['python']}, {told['when'][:10]}"
    )


def figures(name: str, results: Section) -> str:
    """One section of the document: a table and the machine; or that there is none yet."""
    section = results.get("scale" if name in ("backlog", "detectors") else name)
    if section is None:
        return "Not measured yet."
    if name == "latency":
        told = {key: value for key, value in section.items() if key != "machine"}
        table = "\n".join(f"- {key.replace('_', ' ')}: {value}" for key, value in told.items())
    else:
        rows, columns = COLUMNS[name]
        table = markdown(section[rows], columns)
    return f"{table}\n\nMeasured on: {machine_line(section)}."


def filled(document: str, results: Section) -> str:
    """The document with the figures between its marks."""

    def fill(found: "re.Match[str]") -> str:
        return f"{BEGIN.format(found[1])}\n{figures(found[1], results)}\n{END}"

    return re.sub(r"<!-- figures: (\w+) -->\n.*?<!-- end -->", fill, document, flags=re.DOTALL)


def main() -> None:
    """Print or write the tables."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.report", description=(__doc__ or "").splitlines()[0]
    )
    parser.add_argument("--write", action="store_true", help="write docs/performance.md")
    given = parser.parse_args()
    try:
        results: Section = json.loads(RESULTS.read_text())
    except FileNotFoundError:
        results = {}
    if given.write:
        DOCUMENT.write_text(filled(DOCUMENT.read_text(), results))
        return
    for name in (*COLUMNS, "latency"):
        print(f"{name}\n\n{figures(name, results)}\n")


if __name__ == "__main__":
    main()
