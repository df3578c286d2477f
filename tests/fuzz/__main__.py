"""Damaged pictures by the thousand, in this process or through the detector's own child processes.

    python -m tests.fuzz decoding [COUNT] [--first SEED] [--log FILE]
    python -m tests.fuzz slots [COUNT]

Prints how many ended how, the slowest one and the peak of memory. `tests/detector/test_fuzz.py`
tries the first ones of each kind.
"""

import argparse
import asyncio
import sys
from collections.abc import Sequence
from pathlib import Path

from shared.errors import FacesError
from shared.settings import Settings
from tests.fuzz import decoding, slots

COUNT = 20_000


def main(arguments: Sequence[str] | None = None) -> None:
    """Try COUNT files, each kind in turn.

    Raises:
        SystemExit: a setting or the model is missing or wrong.
    """
    parser = argparse.ArgumentParser(
        prog="python -m tests.fuzz", description=(__doc__ or "").splitlines()[0]
    )
    ways = parser.add_subparsers(dest="way", required=True)
    here = ways.add_parser("decoding", help="in this process, which a crash ends")
    here.add_argument("count", type=int, nargs="?", default=COUNT)
    here.add_argument("--first", type=int, default=0, help="seed to begin with")
    here.add_argument("--log", type=Path, help="file that holds the seed of the last one")
    there = ways.add_parser("slots", help="through child processes, of which none should end")
    there.add_argument("count", type=int, nargs="?", default=COUNT)
    given = parser.parse_args(arguments)
    if given.way == "decoding":
        decoding.fuzz(given.count, given.first, given.log)
        return
    try:
        asyncio.run(slots.fuzz(given.count, Settings.load()))
    except FacesError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
