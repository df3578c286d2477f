"""The detector as a stage on a real server: its slots, its pictures, its start and its end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.detector import starting
from services.detector.service import open_stage
from services.detector.starting import slot_config, starting_slots
from shared.errors import ModelMissing
from shared.health import Health
from shared.messages import (
    Payload,
    Status,
)
from shared.model_table import MODELS
from shared.recipe import Recipe
from shared.settings import Settings
from shared.streams.keys import DEAD, IMAGES
from shared.urls import file_uri
from tests.support.processes import children
from tests.support.stages import Running, Suite, image, suite_on
from tests.support.waiting import wait_until


def test_pages_are_searched_for_half_of_the_time_limit() -> None:
    assert slot_config(Settings.load({"task_timeout_seconds": 20})).pages_seconds == 10


@asynccontextmanager
async def detecting(suite: Suite, health: Health | None = None) -> AsyncIterator[Running]:
    async with open_stage(suite.settings, health or Health()) as stage:
        run = Running(stage)
        try:
            yield run
        finally:
            await run.drain()


@pytest.fixture
def poisoned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children that do what the picture says."""

    def poisoned_config(settings: Settings) -> Any:
        hooks = {"process": "tests.support.poison:process", "load": "tests.support.poison:load"}
        return slot_config(settings).model_copy(update=hooks)

    monkeypatch.setattr(starting, "slot_config", poisoned_config)


@pytest.mark.usefixtures("poisoned")
@pytest.mark.parametrize(
    ("poison", "time_limit", "reason"),
    [
        (b"signal 11", 60, "its process was killed by signal 11 (SIGSEGV)"),
        (b"allocate", 60, "needed more than the 1 GiB of memory a slot may use"),
        (b"hang", 4, "took longer than 4 s"),
    ],
)
async def test_a_picture_that_costs_its_process_fails_alone_after_its_attempts(
    poison: bytes, time_limit: float, reason: str, redis_url: str
) -> None:
    settings = {
        "model": "haar",
        "slots": 2,
        "max_attempts": 2,
        "task_timeout_seconds": time_limit,
        "slot_memory_bytes": 1 << 30,
    }
    async with suite_on(redis_url, **settings) as suite:
        bad = await suite.add_with_body(poison)
        good = [await suite.add_with_body(b"ok") for _ in range(20)]
        async with detecting(suite):

            async def all_ended() -> bool:
                return len(await suite.results()) == 21

            await wait_until(all_ended, "every picture has its result")
        results = {one.id: one for one in await suite.results()}
        assert results[bad.id].status is Status.FAILED
        assert results[bad.id].reason == reason
        assert results[bad.id].attempts == 2
        for one in good:
            assert (results[one.id].status, results[one.id].attempts) == (Status.NO_FACES, 1)
        assert await suite.length(DEAD) == 1
        assert bad.payload is not None
        assert await suite.client.get(suite.keys.payload(bad.payload.id)) == poison, (
            "kept for replay"
        )


async def test_a_real_picture_goes_through_by_reference_and_inline(
    redis_url: str, sample_data: Path, sample_models: Path
) -> None:
    picture = sorted((sample_data / "photos").glob("*.jpg"))[0]
    recipe = Recipe(model="yunet", model_version=MODELS["yunet"].version)
    settings = {"models_dir": sample_models, "source_roots": (sample_data,), "slots": 1}
    async with suite_on(redis_url, **settings) as suite:
        payload = Payload.of(picture.read_bytes())
        by_reference = image(source_uri=file_uri(bytes(picture)), recipe=recipe)
        inline = image(payload=payload, recipe=recipe)
        await suite.producer.add(by_reference)
        await suite.producer.add(inline, {payload: picture.read_bytes()})
        async with detecting(suite):

            async def both_ended() -> bool:
                return len(await suite.results()) == 2

            await wait_until(both_ended, "both have their result")
        one, other = await suite.results()
        assert one.faces == other.faces
        assert one.bytes == other.bytes == picture.stat().st_size
        assert one.payload is not None and other.payload is not None
        drawn, same = [
            await suite.client.get(suite.keys.payload(it.id)) for it in (one.payload, other.payload)
        ]
        assert drawn == same
        assert isinstance(drawn, bytes) and drawn.startswith(b"\xff\xd8")
        assert await suite.length(IMAGES) == 0


async def test_a_missing_model_ends_the_start_with_the_command_to_run(
    redis_url: str, tmp_path: Path
) -> None:
    settings = Settings.load({"redis_url": redis_url, "models_dir": tmp_path, "slots": 1})
    with pytest.raises(ModelMissing, match="faces models pull yunet"):
        async with open_stage(settings, Health()):
            pytest.fail("it started")


@pytest.mark.usefixtures("poisoned")
async def test_a_detector_begins_with_two_pictures_a_slot_and_is_alive(redis_url: str) -> None:
    health = Health()
    async with (
        suite_on(redis_url, model="haar", slots=1) as suite,
        open_stage(suite.settings, health) as stage,
    ):
        assert stage.spec.capacity().entries == 2
        assert health.failures == {}


@pytest.mark.usefixtures("poisoned")
async def test_slots_that_were_starting_already_are_used_and_left_to_their_owner(
    redis_url: str,
) -> None:
    async with suite_on(redis_url, model="haar", slots=1) as suite:
        async with starting_slots(suite.settings) as starting:
            async with open_stage(suite.settings, Health(), starting):
                slots = await starting
                (child,) = slots.pids
            assert slots.pids == [child]
        assert slots.pids == []


@pytest.mark.usefixtures("poisoned")
async def test_slots_nobody_waited_for_end_with_their_block(redis_url: str) -> None:
    before = children()
    async with suite_on(redis_url, model="haar", slots=1) as suite:
        async with starting_slots(suite.settings) as starting:
            await wait_until(lambda: children() > before, "a process is started")
        assert starting.cancelled()
        assert children() == before


async def test_slots_that_cannot_start_end_whoever_waits_for_them(
    redis_url: str, tmp_path: Path
) -> None:
    settings = Settings.load({"redis_url": redis_url, "models_dir": tmp_path, "slots": 1})
    async with starting_slots(settings) as starting:
        with pytest.raises(ModelMissing, match="faces models pull yunet"):
            async with open_stage(settings, Health(), starting):
                pytest.fail("it started")
