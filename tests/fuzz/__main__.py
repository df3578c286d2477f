"""Hostile inputs against all that strangers reach, in a time that you choose, with a verdict.

    python -m tests.fuzz [--seconds N] [--seed S] [TARGET...]
    python -m tests.fuzz TARGET --again KIND.NUMBER

What is found is kept in tests/fuzz/found, with the command that tries it again. The exit status is
1 when something was found. `tests/fuzz/registry.py` says what the targets are.
"""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

import structlog

from shared.errors import FacesError
from tests.fuzz.course import Tally, fuzz
from tests.fuzz.keeping import FOUND, keep, named
from tests.fuzz.registry import TARGETS
from tests.fuzz.target import Answer, Target

SECONDS = 600.0
MEBIBYTE = 1 << 20


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz",
        description=(__doc__ or "").splitlines()[0],
        epilog="targets: " + "; ".join(f"{one.name}: {one.about}" for one in TARGETS.values()),
    )
    parser.add_argument("targets", nargs="*", metavar="TARGET", help="all, unless you name some")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="shared by the targets")
    parser.add_argument("--seed", type=int, default=0, help="another one gives other inputs")
    parser.add_argument("--inputs", type=int, help="so many of each target, and no more")
    parser.add_argument("--again", metavar="KIND.NUMBER", help="this one input, or its file")
    parser.add_argument("--found", type=Path, default=FOUND, help="folder for what is found")
    given = parser.parse_args(arguments)
    if unknown := set(given.targets) - TARGETS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: the targets are {', '.join(TARGETS)}")
    # Refusals are what is asked for: each of them would be a line.
    structlog.configure(wrapper_class=structlog.make_filtering_bound_logger(logging.CRITICAL))
    chosen = [TARGETS[name] for name in given.targets or TARGETS]
    try:
        if given.again is None:
            return asyncio.run(_all(chosen, given))
        if len(chosen) != 1:
            parser.error("--again: name the target of the input")
        kind, content = named(chosen[0], given.again)
        answer = asyncio.run(_again(chosen[0], kind, content))
    except (FacesError, ValueError) as error:
        sys.exit(str(error))
    print(f"{answer.text}: {answer.wrong or 'nothing is wrong'}")
    return 1 if answer.wrong else 0


async def _again(target: Target, kind: str, content: bytes) -> Answer:
    async with target.open() as try_one:
        return await try_one(kind, content)


async def _all(targets: Sequence[Target], given: argparse.Namespace) -> int:
    tallies = []
    for target in targets:
        tally = await fuzz(target, given.seconds / len(targets), given.seed, given.inputs)
        tallies.append(tally)
        print(f"{target.name}: {dict(tally.answers.most_common(12))}", flush=True)
        for finding in tally.findings:
            print(f"  {finding.kind}.{finding.number}: {finding.wrong}")
            print(f"    {keep(finding, given.found)}", flush=True)
    print(table(tallies))
    return 1 if any(tally.findings for tally in tallies) else 0


def table(tallies: Sequence[Tally]) -> str:
    """The tallies, a line each. Seconds are of the wall; memory is what one input took beyond
    what was held before, or all that a detector's child held."""
    columns = ("target", "inputs", "a second", "slowest", "largest", "lost", "found")
    rows = [columns, *(_row(tally) for tally in tallies)]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def _row(tally: Tally) -> tuple[str, ...]:
    slowest, largest = tally.slowest, tally.largest
    return (
        tally.target,
        f"{tally.inputs:,}",
        f"{tally.inputs / tally.seconds:.0f}" if tally.seconds else "",
        f"{slowest[0]:.2f} s {slowest[1]}" if slowest[1] else "",
        f"{largest[0] / MEBIBYTE:.0f} MiB {largest[1]}" if largest[0] else "",
        str(tally.lost),
        str(len(tally.findings)),
    )


if __name__ == "__main__":
    sys.exit(main())
