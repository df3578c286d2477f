"""The detector as a stage: reads `images`, as many as its slots can soon start."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager, nullcontext
from functools import partial

from services.detector.contents import Contents, room_of
from services.detector.detect import Detector, failed
from services.detector.fetching import Fetching
from services.detector.keeping import Keeping
from services.detector.references import Rules
from services.detector.roots import Roots
from services.detector.slots import Slots
from services.detector.starting import ready_slots
from shared.garbage import give_back_large_blocks
from shared.health import Health
from shared.messages import ImageMessage
from shared.references import BUCKETS, FILES
from shared.settings import PicturesBy, Settings
from shared.stores.buckets import Buckets
from shared.stores.objects import Objects
from shared.streams.away import Away
from shared.streams.client import connect
from shared.streams.high_water import HighWaterMarks
from shared.streams.keys import IMAGES, Keys
from shared.streams.later import WaitingSets
from shared.streams.outage import Outage
from shared.streams.payloads import Payloads
from shared.streams.runner import Stage, open_stage_of
from shared.streams.stage import StageSpec

NAME = "detector"

HELD_A_SLOT = 2
"""One picture at work, and one prefetched."""

MOST_A_SLOT = 20
AHEAD_SECONDS = 0.6
"""Where pictures take little time, this much work is prefetched instead of one picture."""

HANDOFF_PAUSE_SECONDS = 0.4
"""Under load, results of this long go out in one script call instead of one each. Their entries are
held until then, so a crash repeats at most MOST_A_SLOT pictures a slot."""


@asynccontextmanager
async def open_stage(
    settings: Settings, health: Health, starting: asyncio.Task[Slots] | None = None
) -> AsyncIterator[Stage[ImageMessage]]:
    """The detector with its slots and its connections; closed when the block ends.

    Slots that are `starting` already are somebody else's, and left open.

    Raises:
        ModelMissing: the model's weights are not there, and how to get them.
    """
    if settings.source_buckets:
        give_back_large_blocks()
    client = connect(settings.redis_url)
    keys = Keys(settings.prefix)
    away = Away(WaitingSets(client, keys, IMAGES, settings.high_water))
    try:
        async with _shared(starting) if starting else ready_slots(settings) as slots:
            health.watch("slots", slots.wrong)
            rules = Rules({FILES.kind: FILES.allow_list(settings)}, settings.max_file_bytes)
            roots = Roots(rules, away, slots.count, settings.task_timeout_seconds)
            room = room_of(slots.count)
            await roots.look()
            fetching = Fetching(settings, Buckets(BUCKETS.setting), away, room)
            payloads = Payloads(client, keys, settings.inline_limit_bytes)
            contents = Contents(payloads, (roots, fetching), room)
            objects = _objects(settings)
            keeping = Keeping(objects, Outage(NAME, health, "pictures")) if objects else None
            largest = partial(HighWaterMarks.largest_message, client, settings)
            detector = Detector(slots, contents, roots, settings, keeping, largest)
            spec = StageSpec(
                name=NAME,
                stream=IMAGES,
                decode=ImageMessage.decode,
                handle=detector.handle,
                failed=failed,
                concurrency=MOST_A_SLOT * slots.count,
                held=HELD_A_SLOT * slots.count,
                ahead=AHEAD_SECONDS,
                handoff_pause=HANDOFF_PAUSE_SECONDS,
            )
            async with (
                health.needs({"slots": slots.check}),
                _needs(health, objects),
                open_stage_of(spec, settings, health, client) as stage,
            ):
                yield stage
    finally:
        await away.close()
        await client.aclose()


def _objects(settings: Settings) -> Objects | None:
    """The object store, where detectors put pictures there."""
    if settings.pictures_by is not PicturesBy.DETECTOR:
        return None
    return Objects.open_or_wait(settings.objects_url)


def _needs(health: Health, objects: Objects | None) -> AbstractAsyncContextManager[None]:
    """Readiness depends on the object store only where this service needs one."""
    if objects is None:
        return nullcontext()
    return health.needs({"object store": objects.check}, every=objects.check_seconds)


@asynccontextmanager
async def _shared(starting: asyncio.Task[Slots]) -> AsyncIterator[Slots]:
    yield await asyncio.shield(starting)
