"""The detector as a stage: reads `images`, as many as its slots can soon start."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from services.detector.detect import Detector, failed
from services.detector.protocol import Config
from services.detector.slots import open_slots
from shared.cpu import usable_cpus
from shared.health import Health
from shared.messages import ImageMessage
from shared.settings import PicturesBy, Settings
from shared.streams.bodies import Bodies
from shared.streams.client import connect
from shared.streams.keys import IMAGES, Keys
from shared.streams.runner import Stage, open_stage_of
from shared.streams.spec import StageSpec

HELD_A_SLOT = 2
"""One picture at work, and one prefetched."""

MOST_A_SLOT = 20
AHEAD_SECONDS = 0.6
"""Where pictures take little time, this much work is prefetched instead of one picture."""

HANDOFF_PAUSE_SECONDS = 0.4
"""Under load results go out together, instead of a script call for each. Until then their entries
are held, so a crash never repeats more than MOST_A_SLOT pictures a slot."""


def slot_config(settings: Settings) -> Config:
    """What the settings mean to a child process."""
    puts_objects = settings.pictures_by is PicturesBy.DETECTOR
    return Config(
        model=settings.model,
        models_dir=settings.models_dir,
        memory_bytes=settings.slot_memory_bytes,
        max_pixels=settings.max_pixels,
        max_file_bytes=settings.max_file_bytes,
        source_roots=settings.source_roots,
        source_buckets=settings.source_buckets,
        objects_url=settings.objects_url if puts_objects else None,
    )


@asynccontextmanager
async def open_stage(settings: Settings, health: Health) -> AsyncIterator[Stage[ImageMessage]]:
    """The detector with its slots and its connections; closed when the block ends.

    Raises:
        ModelMissing: the model's weights are not there, and how to get them.
    """
    count = settings.slots or usable_cpus()
    client = connect(settings.redis_url)
    try:
        async with open_slots(slot_config(settings), count, settings.task_timeout_seconds) as slots:
            health.watch("slots", slots.wrong)
            detector = Detector(slots, Bodies(client, Keys(settings.prefix)), settings)
            spec = StageSpec(
                name="detector",
                stream=IMAGES,
                decode=ImageMessage.decode,
                handle=detector.handle,
                failed=failed,
                concurrency=MOST_A_SLOT * count,
                held=HELD_A_SLOT * count,
                ahead=AHEAD_SECONDS,
                handoff_pause=HANDOFF_PAUSE_SECONDS,
            )
            async with open_stage_of(spec, settings, health, client) as stage:
                yield stage
    finally:
        await client.aclose()
