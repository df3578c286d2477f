"""A process with slots, one of them at work for ever, for tests that kill it."""

import asyncio
import sys
from pathlib import Path

import uvloop

from services.detector.pipe import Config, Request
from services.detector.slots import open_slots
from shared.model_table import MODELS
from shared.recipe import Recipe
from tests.support.waiting import wait_until


async def main(models_dir: str) -> None:
    config = Config(
        model="yunet",
        models_dir=Path(models_dir),
        memory_bytes=3 << 30,
        max_pixels=1000,
        max_file_bytes=1000,
        process="tests.support.poison:process",
        load="tests.support.poison:load",
    )
    request = Request(recipe=Recipe(model="yunet", model_version=MODELS["yunet"].version))
    async with open_slots(config, 2, 1000) as slots, asyncio.TaskGroup() as tasks:
        tasks.create_task(slots.ask(request, b"hang"))
        await wait_until(lambda: slots.busy == 1, "one is at work")
        print("pids", *slots.pids, flush=True)


if __name__ == "__main__":
    uvloop.run(main(sys.argv[1]))
