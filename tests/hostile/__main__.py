"""`python -m tests.hostile`: a suite, real pictures, and a stranger in its Redis, with a verdict.

Exit status 1: something that was promised did not hold.
"""

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from tests.hostile.kinds import KINDS
from tests.hostile.run import HostileRun, Plan, clean

SECONDS = 300.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run it; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m tests.hostile",
        description=(__doc__ or "").splitlines()[0],
        epilog="kinds: " + ", ".join(KINDS),
    )
    parser.add_argument("--messages", type=int, default=2000, help="hostile things to do")
    parser.add_argument("--images", type=int, default=500, help="real pictures beside them")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=SECONDS, help="then it is given up")
    parser.add_argument("--only", action="append", default=[], help="a kind; again for more")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs")
    given = parser.parse_args(arguments)
    if unknown := set(given.only) - KINDS.keys():
        parser.error(f"{', '.join(sorted(unknown))}: the kinds are {', '.join(KINDS)}")
    folder = Path(tempfile.mkdtemp(prefix="faces-hostile-"))
    folder.chmod(0o755)
    plan = Plan(folder / "run", given.messages, given.images, given.seed, given.seconds, given.only)
    verdict = asyncio.run(HostileRun(plan).run())
    print(verdict)
    if given.keep or verdict.wrong:
        print(f"logs: {folder}/run/logs")
    else:
        clean(folder)
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
