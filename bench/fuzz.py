"""Damaged pictures by the thousand, in this process: `python -m bench.fuzz [COUNT] [--first SEED]`.

Says how many were searched and how many failed, the slowest one and the peak of memory. A crash
is a crash: the seed of the last file is in the file that `--log` names.
`tests/detector/test_fuzz.py` tries the first ones of each kind.
"""

import argparse
import collections
import resource
import time
import warnings
from pathlib import Path

import cv2

from services.detector.picture import process
from tests.support.fuzzed import KINDS, NoFaces, mutated
from tests.support.pictures import LIMITS, recipe


def main() -> None:
    """Try COUNT files, each kind in turn."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("count", type=int, nargs="?", default=20_000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--log", type=Path, default=Path("/dev/null"))
    given = parser.parse_args()
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    warnings.simplefilter("error")
    answers: collections.Counter[str] = collections.Counter()
    slowest = (0.0, "")
    for number in range(given.count):
        kind, seed = KINDS[number % len(KINDS)], given.first + number // len(KINDS)
        given.log.write_text(f"{kind} {seed}\n")
        start = time.process_time()
        done = process(mutated(kind, seed), recipe(detect_size=640), NoFaces(), LIMITS)
        slowest = max(slowest, (time.process_time() - start, f"{kind} {seed}"))
        answers[f"{kind} {done.status}"] += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{given.count} files: {dict(sorted(answers.items()))}")
    print(f"slowest {slowest[0] * 1000:.0f} ms of CPU ({slowest[1]}); peak memory {peak:.0f} MiB")


if __name__ == "__main__":
    main()
