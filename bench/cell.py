"""What a closed cell costs a slot: to be ready, and a picture.

    python -m bench.cell [FOLDER] [--models DIR] [--pictures 500] [--rounds 9]

In turns, a child that closes its cell and one that leaves it open: seconds until each is ready,
then the same pictures through both, one at a time. Medians over the rounds, and of the differences
between neighbours, so that a busy machine disturbs both alike.
"""

import argparse
import asyncio
import logging
import statistics
import sys
import tempfile
import time
from collections.abc import Iterable, Sequence
from itertools import cycle, islice
from pathlib import Path

import structlog

from bench.material import Weights, chosen_pictures, chosen_weights
from services.detector.models import Model, load
from services.detector.pipe import Config, Request
from services.detector.slots import open_slots
from shared.model_table import MODELS
from shared.recipe import Recipe

CLOSED = "services.detector.models:load"
OPEN = f"{__spec__.name if __spec__ else __name__}:load_and_stay_open"

Measured = tuple[float, float]
"""Seconds until a child is ready, and milliseconds a picture in it."""


def load_and_stay_open(name: str, models_dir: Path) -> Model:
    """In a child: the model, and no cell."""

    def close_cell(_: int, readable: Iterable[Path]) -> dict[str, str]:
        return {}

    vars(sys.modules["__main__"])["close_cell"] = close_cell
    return load(name, models_dir)


async def measured(weights: Weights, how: str, pictures: Sequence[bytes], count: int) -> Measured:
    """One child, from its start to its last picture."""
    config = Config(
        model=weights.model,
        models_dir=weights.folder,
        memory_bytes=3 << 30,
        max_pixels=10**9,
        max_file_bytes=1 << 30,
        load=how,
    )
    version = MODELS[weights.model].version
    request = Request(recipe=Recipe(model=weights.model, model_version=version))
    begun = time.perf_counter()
    async with open_slots(config, 1, 600) as slots:
        ready = time.perf_counter()
        for content in islice(cycle(pictures), count):
            await slots.ask(request, content)
        ended = time.perf_counter()
    return ready - begun, (ended - ready) * 1000 / count


async def compared(
    weights: Weights, pictures: Sequence[bytes], count: int, rounds: int
) -> tuple[list[Measured], list[Measured]]:
    """Closed and open ones; which goes first alternates."""
    found: dict[str, list[Measured]] = {CLOSED: [], OPEN: []}
    for number in range(rounds):
        for how in (CLOSED, OPEN) if number % 2 else (OPEN, CLOSED):
            found[how].append(await measured(weights, how, pictures, count))
    return found[CLOSED], found[OPEN]


def line(what: str, unit: str, closed: Sequence[float], left_open: Sequence[float]) -> str:
    """One row: both medians, and the median of what a round's two differ by."""
    more = statistics.median(one - other for one, other in zip(closed, left_open, strict=True))
    middle, without = statistics.median(closed), statistics.median(left_open)
    return f"{what}: closed {middle:.2f} {unit}, open {without:.2f} {unit}, difference {more:+.3f}"


def main(arguments: Sequence[str] | None = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("folder", nargs="?", type=Path)
    parser.add_argument("--models", type=Path)
    parser.add_argument("--pictures", type=int, default=500)
    parser.add_argument("--rounds", type=int, default=9)
    given = parser.parse_args(arguments)
    weights = chosen_weights(given.models)
    with tempfile.TemporaryDirectory() as scratch:
        chosen = chosen_pictures(given.folder, given.pictures, Path(scratch))
        pictures = [path.read_bytes() for path in chosen]
        closed, left_open = asyncio.run(compared(weights, pictures, given.pictures, given.rounds))
    for index, (what, unit) in enumerate((("until ready", "s"), ("a picture", "ms"))):
        both = ([one[index] for one in closed], [one[index] for one in left_open])
        print(line(what, unit, *both))


if __name__ == "__main__":
    quiet = structlog.make_filtering_bound_logger(logging.WARNING)
    structlog.configure(wrapper_class=quiet)
    main()
