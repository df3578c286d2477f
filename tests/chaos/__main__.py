"""`python -m tests.chaos`: a bounded chaos run on loopback, with a verdict."""

import argparse
import asyncio
import shutil
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from tests.chaos.acts.act import Needs
from tests.chaos.driver import Chaos, Plan
from tests.chaos.recovery import table
from tests.chaos.redis_servers import RedisServers
from tests.chaos.schedule import make_schedule, possible, tell
from tests.chaos.servers import Postgres

FULL = Counter(
    {
        "kill": 30,
        "terminate": 6,
        "freeze": 4,
        "cut": 6,
        "lose reply": 6,
        "delay": 3,
        "restart redis": 3,
        "redis cannot save": 2,
        "redis lacks replicas": 2,
        "redis is busy": 1,
        "failover": 3,
        "stop postgres": 3,
        "login refused": 3,
        "database gone": 2,
        "too many connections": 2,
        "database read-only": 1,
        "connections swallowed": 2,
        "store refuses": 3,
        "store silent": 2,
        "bucket refuses": 2,
        "bucket silent": 2,
    }
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--images", type=int, default=3000)
    parser.add_argument("--one-redis", action="store_true", help="no replica and no Sentinels")
    parser.add_argument("--only", action="append", help="an act; give it again for more")
    parser.add_argument("--keep", action="store_true", help="keep the folder with logs")
    options = parser.parse_args()
    replicated = RedisServers.can_be_replicated() and not options.one_redis
    missing = [] if replicated else [Needs.SENTINEL]
    if not Postgres.available():
        missing.append(Needs.POSTGRES)
    counts = possible(FULL, missing)
    if options.only:
        counts = Counter({name: count for name, count in counts.items() if name in options.only})
    events = make_schedule(options.seed, counts)
    folder = Path(tempfile.mkdtemp(prefix="faces-chaos-"))
    folder.chmod(0o755)
    print(f"seed {options.seed}, {options.images} pictures; {tell(events)}", flush=True)
    for need in missing:
        print(f"without the acts on {need.value}, which this machine lacks", flush=True)
    began = time.monotonic()
    plan = Plan(
        options.seed,
        options.images,
        events,
        folder / "run",
        postgres=Needs.POSTGRES not in missing,
        replicated=replicated,
        talk=True,
    )
    verdict = asyncio.run(Chaos(plan).run())
    print(table(verdict.recoveries))
    print(f"{time.monotonic() - began:.0f} s; {verdict}")
    for name, breaches in verdict.breaches.items():
        for one in breaches[:10]:
            print(f"  {name}: {one}")
    if options.keep or not verdict.kept:
        print(f"logs: {folder}")
    else:
        shutil.rmtree(folder, ignore_errors=True)
    return 0 if verdict.kept and not verdict.late else 1


if __name__ == "__main__":
    sys.exit(main())
