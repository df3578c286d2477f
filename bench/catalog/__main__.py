"""Figures of the catalog on PostgreSQL: commit throughput, query times, and bytes a row.

    python -m bench.catalog throughput --images 50000
    python -m bench.catalog service --images 20000
    python -m bench.catalog queries --rows 1000000 [--explain]

Each makes a database of its own on the server of FACES_BENCH_POSTGRES_URL and drops it after.
"""

import argparse
import asyncio
from collections.abc import Sequence

from bench.catalog.asking import queries
from bench.catalog.writing import BATCH, service, throughput


def batches(text: str) -> int:
    """A number of images, rounded down to whole batches."""
    count = int(text) // BATCH * BATCH
    if count <= 0:
        raise argparse.ArgumentTypeError(f"give at least {BATCH}, which are one batch")
    return count


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(
        prog="python -m bench.catalog", description=(__doc__ or "").splitlines()[0]
    )
    commands = parser.add_subparsers(dest="command", required=True)
    writing = commands.add_parser("throughput", help="queue and commit, by the catalog alone")
    writing.add_argument("--images", type=batches, default=50_000)
    writing.add_argument("--writers", type=int, default=2, help="how many commit at a time")
    serving = commands.add_parser("service", help="commit, by the writer service")
    serving.add_argument("--images", type=batches, default=20_000)
    asking = commands.add_parser("queries", help="query times and bytes a row")
    asking.add_argument("--rows", type=int, default=1_000_000)
    asking.add_argument("--explain", action="store_true", help="print the plans, too")
    asking.add_argument("--only", default="", help="questions whose title holds this")
    given = parser.parse_args(arguments)
    if given.command == "throughput":
        asyncio.run(throughput(given.images, given.writers))
    elif given.command == "service":
        asyncio.run(service(given.images))
    else:
        asyncio.run(queries(given.rows, given.explain, given.only))


if __name__ == "__main__":
    main()
