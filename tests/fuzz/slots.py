"""Damaged pictures sent through the detector's child processes, of which none should end."""

import asyncio
import collections
import os
import time
from pathlib import Path

from services.detector.pipe import Request
from services.detector.process import SlotCrashed
from services.detector.starting import ready_slots
from shared.model_table import MODELS
from shared.recipe import Recipe
from shared.settings import Settings
from tests.support.fuzzed import KINDS, mutated

AT_ONCE = 4


def largest_child() -> int:
    """The largest peak of resident memory of this process' living children, in KiB."""
    peak = 0
    for status in Path("/proc").glob("[0-9]*/status"):
        text = status.read_text(errors="replace")
        if f"\nPPid:\t{os.getpid()}\n" in text and "VmHWM" in text:
            peak = max(peak, int(text.split("VmHWM:")[1].split()[0]))
    return peak


async def fuzz(count: int, settings: Settings) -> None:
    """Try `count` files, each kind in turn, on two slots.

    Raises:
        FacesError: the slots cannot start, such as without a model.
    """
    recipe = Recipe(model=settings.model, model_version=MODELS[settings.model].version)
    answers: collections.Counter[str] = collections.Counter()
    crashes: list[str] = []
    slowest = (0.0, "")
    numbers = iter(range(count))
    async with ready_slots(settings.model_copy(update={"slots": 2})) as slots:

        async def work() -> None:
            nonlocal slowest
            for number in numbers:
                kind, seed = KINDS[number % len(KINDS)], number // len(KINDS)
                start = time.monotonic()
                try:
                    reply = (await slots.ask(Request(recipe=recipe), mutated(kind, seed))).reply
                    answers[f"{kind} {reply.status if reply.kind == 'done' else reply.kind}"] += 1
                except SlotCrashed as crash:
                    crashes.append(f"{kind} {seed}: {crash}")
                slowest = max(slowest, (time.monotonic() - start, f"{kind} {seed}"))

        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        print(f"{count} files: {dict(sorted(answers.items()))}")
        print(f"{len(crashes)} cost a process: {crashes[:20]}")
        print(f"slowest {slowest[0] * 1000:.0f} ms ({slowest[1]}), waiting for a slot included")
        print(f"largest memory of a child {largest_child() / 1024:.0f} MiB")
