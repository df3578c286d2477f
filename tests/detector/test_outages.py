"""Whole detectors, with real slots, beside buckets and folders that do not answer."""

from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.detector import starting
from services.detector.service import open_stage
from services.detector.starting import slot_config
from shared.health import Health
from shared.messages import ImageMessage, Status
from shared.reasons import Reason
from shared.settings import Settings
from shared.streams.keys import DEAD, IMAGES
from shared.streams.later import WaitingSets
from tests.support.s3_stub import S3Stub, s3_stub
from tests.support.stages import Running, Suite, image, suite_on
from tests.support.waiting import wait_until

MANY = 30

Break = Callable[[S3Stub], None]


@pytest.fixture(autouse=True)
def told_children(monkeypatch: pytest.MonkeyPatch) -> None:
    """Children that do what the picture says."""

    def told_config(settings: Settings) -> Any:
        hooks = {"process": "tests.support.poison:process", "load": "tests.support.poison:load"}
        return slot_config(settings).model_copy(update=hooks)

    monkeypatch.setattr(starting, "slot_config", told_config)


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Stub]:
    pictures = {f"{n}.jpg": b"ok" for n in range(MANY)}
    with s3_stub() as stub:
        stub.buckets = {"away": dict(pictures), "here": dict(pictures)}
        for name, value in stub.environment.items():
            monkeypatch.setenv(name, value)
        yield stub


@asynccontextmanager
async def detecting(redis_url: str, **settings: Any) -> AsyncIterator[Suite]:
    """A suite with a detector of two slots, which reads the two buckets."""
    given = {"model": "haar", "slots": 2, "slot_memory_bytes": 1 << 30, "max_attempts": 2}
    buckets = {"source_buckets": ("s3://away", "s3://here")}
    async with (
        suite_on(redis_url, **given, **buckets, **settings) as suite,
        open_stage(suite.settings, Health()) as stage,
    ):
        running = Running(stage)
        yield suite
        await running.drain()


def pictures_in(bucket: str) -> list[ImageMessage]:
    return [image(source_uri=f"s3://{bucket}/{n}.jpg") for n in range(MANY)]


async def all_ended(suite: Suite, messages: list[ImageMessage]) -> None:
    ids = {one.id for one in messages}

    async def ended() -> bool:
        return ids <= {result.id for result in await suite.results()}

    await wait_until(ended, f"{len(ids)} pictures have their result", 60)


async def wait_for(suite: Suite, key: str, count: int) -> None:
    waiting = WaitingSets(suite.client, suite.keys, IMAGES, 1000)

    async def so_many() -> bool:
        return await waiting.count(key) == count

    await wait_until(so_many, f"{count} wait for {key}", 60)


def silence(stub: S3Stub) -> None:
    stub.silent = {"away"}


def answering(status: int, code: str) -> Break:
    """Every request of the bucket is answered so."""

    def breaking(stub: S3Stub) -> None:
        stub.refuse = lambda _, bucket, __: (status, code) if bucket == "away" else None

    return breaking


OUTAGES = {
    "silent": silence,
    "busy": answering(503, "SlowDown"),
    "forbidden": answering(403, "AccessDenied"),
    "token ran out": answering(400, "ExpiredToken"),
    "clock is wrong": answering(403, "RequestTimeTooSkewed"),
    "no such bucket": answering(404, "NoSuchBucket"),
}


@pytest.mark.parametrize("outage", OUTAGES)
async def test_a_bucket_that_is_away_holds_up_and_costs_nobody(
    outage: str, stub: S3Stub, redis_url: str
) -> None:
    first = image(source_uri="s3://away/0.jpg")
    here, away = pictures_in("here"), pictures_in("away")
    async with detecting(redis_url) as suite:
        await suite.add_all([first])
        await all_ended(suite, [first])
        OUTAGES[outage](stub)
        await suite.add_all([*away, *here])
        await all_ended(suite, here)
        await wait_for(suite, "s3://away", MANY)
        stub.mend()
        await all_ended(suite, away)
        results = await suite.results()
        assert {(one.status, one.attempts) for one in results} == {(Status.NO_FACES, 1)}
        assert len(results) == 2 * MANY + 1
        assert await suite.length(DEAD) == 0


async def test_a_bucket_that_never_answered_is_waited_for_alike(
    stub: S3Stub, redis_url: str
) -> None:
    here, away = pictures_in("here"), pictures_in("away")
    silence(stub)
    async with detecting(redis_url) as suite:
        await suite.add_all([*away, *here])
        await all_ended(suite, here)
        stub.mend()
        await all_ended(suite, away)
        assert {one.attempts for one in await suite.results()} == {1}


async def test_one_object_that_is_refused_fails_alone(stub: S3Stub, redis_url: str) -> None:
    stub.refuse = lambda _, bucket, key: (
        (403, "AccessDenied") if (bucket, key) == ("away", "3.jpg") else None
    )
    pictures = pictures_in("away")
    async with detecting(redis_url) as suite:
        await suite.add_all(pictures)
        await all_ended(suite, pictures)
        results = {one.id: one for one in await suite.results()}
        refused = results.pop(pictures[3].id)
        assert (refused.status, refused.code) == (Status.FAILED, Reason.UNREADABLE)
        assert "403 Forbidden (AccessDenied)" in refused.reason
        assert {(one.status, one.attempts) for one in results.values()} == {(Status.NO_FACES, 1)}


async def test_a_folder_that_is_not_mounted_is_waited_for(redis_url: str, tmp_path: Path) -> None:
    roots = (tmp_path / "here", tmp_path / "volume")
    for root in roots:
        root.mkdir()
        (root / "a.jpg").write_bytes(b"ok")
    here, away = [image(source_uri=(root / "a.jpg").as_uri()) for root in roots]
    async with detecting(redis_url, source_roots=roots) as suite:
        roots[1].rename(tmp_path / "elsewhere")
        await suite.add_all([away, here])
        await all_ended(suite, [here])
        await wait_for(suite, roots[1].as_uri(), 1)
        (tmp_path / "elsewhere").rename(roots[1])
        await all_ended(suite, [away])
        results = await suite.results()
        assert {(one.status, one.attempts) for one in results} == {(Status.NO_FACES, 1)}
