"""`python -m tests.chaos`: a bounded chaos run on loopback, with a verdict."""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.chaos.driver import Chaos, Plan
from tests.chaos.schedule import Act, make_schedule, tell
from tests.chaos.servers import Postgres

FULL: Counter[Act] = Counter(
    {
        Act.KILL: 30,
        Act.TERMINATE: 6,
        Act.FREEZE: 4,
        Act.RESTART_REDIS: 3,
        Act.CUT: 6,
        Act.LOSE_REPLY: 6,
        Act.DELAY: 3,
        Act.STOP_POSTGRES: 3,
    }
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs")
    options = parser.parse_args()
    events = make_schedule(options.seed, FULL)
    folder = Path(tempfile.mkdtemp(prefix="faces-chaos-"))
    folder.chmod(0o755)
    print(f"seed {options.seed}, {options.images} pictures; {tell(events)}", flush=True)
    began = time.monotonic()
    plan = Plan(
        options.seed, options.images, events, folder / "run", Postgres.available(), talk=True
    )
    verdict = asyncio.run(Chaos(plan).run())
    print(f"{time.monotonic() - began:.0f} s; {verdict}")
    for name in ("lost", "duplicated", "failed_wrongly", "objects_missing", "left_in_redis"):
        for one in getattr(verdict, name)[:10]:
            print(f"  {name}: {one}")
    if options.keep or not verdict.kept:
        print(f"logs: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if verdict.kept else 1


if __name__ == "__main__":
    sys.exit(main())
