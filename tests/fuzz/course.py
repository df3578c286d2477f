"""Trying a target's inputs until the time is over, and counting what became of them."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

from tests.fuzz.target import Answer, Target, Try

INPUTS_A_SEED = 1_000_000
"""Numbers between two seeds: runs of other seeds share no input."""

FINDINGS_LIMIT = 20
"""After so many a target is given up: what is found next is likely to be the same."""


@dataclass(frozen=True)
class Finding:
    """An input that something was wrong with."""

    target: str
    kind: str
    number: int
    content: bytes
    wrong: str


@dataclass
class Tally:
    """What became of a target's inputs. `slowest` and `largest` name the input by kind and number.

    Seconds are of the wall, and hold whatever else this machine did meanwhile.
    """

    target: str
    inputs: int = 0
    seconds: float = 0.0
    slowest: tuple[float, str] = (0.0, "")
    largest: tuple[int, str] = (0, "")
    lost: int = 0
    answers: Counter[str] = field(default_factory=Counter)
    findings: list[Finding] = field(default_factory=list)

    def add(self, kind: str, number: int, answer: Answer, seconds: float) -> None:
        """Count one more."""
        name = f"{kind}.{number}"
        self.inputs += 1
        self.slowest = max(self.slowest, (seconds, name))
        self.largest = max(self.largest, (answer.peak_bytes, name))
        self.lost += answer.lost
        self.answers[answer.text] += 1


async def fuzz(target: Target, seconds: float, seed: int, most: int | None = None) -> Tally:
    """Try inputs for so long, or `most` of them, from the first of this seed on.

    After a finding what tries them is opened anew: the input may have left it broken.
    """
    tally = Tally(target.name)
    began = time.monotonic()
    numbers = iter(range(most)) if most is not None else count()
    over = began + seconds
    while len(tally.findings) < FINDINGS_LIMIT and time.monotonic() < over:
        found = len(tally.findings)
        async with target.open() as try_one:
            ended = await asyncio.gather(
                *(_work(target, try_one, numbers, seed, tally, over) for _ in range(target.at_once))
            )
        if all(ended) and len(tally.findings) == found:
            break
    tally.seconds = time.monotonic() - began
    return tally


async def _work(
    target: Target, try_one: Try, numbers: Iterator[int], seed: int, tally: Tally, over: float
) -> bool:
    """Inputs one after the other until something is found; whether none is left to try."""
    found = len(tally.findings)
    while len(tally.findings) == found:
        turn = next(numbers, None) if time.monotonic() < over else None
        if turn is None:
            return True
        kind = target.kinds[turn % len(target.kinds)]
        number = seed * INPUTS_A_SEED + turn // len(target.kinds)
        content = target.make(kind, number)
        start = time.monotonic()
        answer = await try_one(kind, content)
        tally.add(kind, number, answer, time.monotonic() - start)
        if answer.wrong:
            tally.findings.append(Finding(target.name, kind, number, content, answer.wrong))
    return False
