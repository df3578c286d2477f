"""Damaged files through the detector's real slots: what they cost, and whom."""

import os
import random
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

from services.detector.pipe import Request
from services.detector.process import SlotCrashed
from services.detector.slots import Slots
from services.detector.starting import ready_slots
from shared.model_table import MODELS
from shared.recipe import Mode, Recipe
from shared.settings import Settings
from tests.fuzz.mutating import mutated
from tests.fuzz.target import Answer, Target, Try
from tests.support.fuzzed import KINDS

SLOTS = 2

AS_IN_THE_CLUSTER = {
    "max_pixels": 110_000_000,
    "slot_memory_bytes": 1536 << 20,
    "task_timeout_seconds": 60.0,
}
"""`k8s/settings/settings.env`."""


def children_of(parent: int) -> Iterator[tuple[int, int]]:
    """A process' living children, and the most that each held in memory, in bytes (proc(5))."""
    for status in Path("/proc").glob("[0-9]*/status"):
        try:
            text = status.read_text(errors="replace")
        except OSError:  # it has ended
            continue
        if f"\nPPid:\t{parent}\n" in text and "VmHWM" in text:
            yield int(status.parent.name), int(text.split("VmHWM:")[1].split()[0]) << 10


def _recipe(model: str, content: bytes) -> Recipe:
    """Any way of showing faces, with crops or without; the same input is shown the same way."""
    chance = random.Random(content[:4096])
    return Recipe(
        model=model,
        model_version=MODELS[model].version,
        mode=chance.choice(list(Mode)),
        crops=chance.random() < 0.3,
    )


async def _searched(slots: Slots, recipe: Recipe, content: bytes) -> Answer:
    try:
        reply = (await slots.ask(Request(recipe=recipe), content)).reply
    except SlotCrashed as crash:
        # Memory has its limit and costs the process that met it: the input's own.
        wrong = "" if crash.cause == "memory" else str(crash)
        return Answer(crash.cause, wrong, _largest(), lost=1)
    code = str(reply.code or reply.status)
    wrong = "" if reply.kind == "done" else f"to be tried again: {reply.reason}"
    if code == "error":
        wrong = reply.reason
    return Answer(code, wrong, _largest())


def _largest() -> int:
    """Of this process' children."""
    return max((peak for _, peak in children_of(os.getpid())), default=0)


@asynccontextmanager
async def _open() -> AsyncIterator[Try]:
    settings = Settings.load(AS_IN_THE_CLUSTER).model_copy(update={"slots": SLOTS})
    async with ready_slots(settings) as slots:

        async def try_one(_: str, content: bytes) -> Answer:
            return await _searched(slots, _recipe(settings.model, content), content)

        yield try_one


DECODERS = Target(
    name="decoders",
    about="damaged files through the detector's slots, as services use them",
    kinds=KINDS,
    make=mutated,
    open=_open,
    at_once=2 * SLOTS,
)
