"""Damaged pictures decoded in this process; a crash is a crash."""

import collections
import resource
import time
import warnings
from pathlib import Path

import cv2

from services.detector.picture import process
from tests.support.fuzzed import KINDS, NoFaces, mutated
from tests.support.pictures import LIMITS, recipe


def fuzz(count: int, first: int, log: Path | None) -> None:
    """Try `count` files, each kind in turn, with seeds from `first` on.

    The kind and seed of the last one are in `log`, to make the file again that crashed it.
    """
    cv2.setNumThreads(1)
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    warnings.simplefilter("error")
    answers: collections.Counter[str] = collections.Counter()
    slowest = (0.0, "")
    for number in range(count):
        kind, seed = KINDS[number % len(KINDS)], first + number // len(KINDS)
        if log is not None:
            log.write_text(f"{kind} {seed}\n")
        start = time.process_time()
        done = process(mutated(kind, seed), recipe(detect_size=640), NoFaces(), LIMITS)
        slowest = max(slowest, (time.process_time() - start, f"{kind} {seed}"))
        answers[f"{kind} {done.status}"] += 1
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"{count} files: {dict(sorted(answers.items()))}")
    print(f"slowest {slowest[0] * 1000:.0f} ms of CPU ({slowest[1]}); peak memory {peak:.0f} MiB")
