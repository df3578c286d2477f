"""A bucket or a volume that is away delays its own sources, and nobody else's."""

import json
import os
import shutil
import threading
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.ingest.expand import COME_FIRST, TURN_SECONDS
from services.ingest.service import open_stage
from shared.catalog import Catalog
from shared.health import Health
from shared.messages import SourceKind, SourceMessage, Status, new_token
from shared.reasons import Reason
from shared.streams.keys import DEAD, IMAGES, SOURCES
from shared.streams.later import WaitingSets
from shared.urls import file_uri
from tests.support.s3_stub import S3Stub, s3_stub
from tests.support.stages import RECIPE, Running, Suite, suite_on
from tests.support.waiting import wait_until


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Stub]:
    """An S3 with two buckets of three pictures each, that ingest finds."""
    with s3_stub() as stub:
        for bucket in ("away", "here"):
            stub.buckets[bucket] = {f"in/{n}.jpg": b"picture" for n in range(3)}
        for name, value in stub.environment.items():
            monkeypatch.setenv(name, value)
        yield stub


@asynccontextmanager
async def ingesting(
    url: str,
    tmp_path: Path,
    **overrides: Any,  # Any: setting values
) -> AsyncIterator[tuple[Suite, Catalog, Health]]:
    """An ingest service at work that may read both buckets, and a folder."""
    database = f"sqlite:///{tmp_path}/faces.db"
    overrides = {
        "source_buckets": ("s3://away", "s3://here"),
        "source_roots": (tmp_path / "root",),
        **overrides,
    }
    health = Health()
    async with (
        suite_on(url, database_url=database, **overrides) as suite,
        open_stage(suite.settings, health) as stage,
    ):
        running = Running(stage)
        catalog = await Catalog.open(database)
        try:
            yield suite, catalog, health
        finally:
            await running.drain()
            await catalog.close()


async def submit(suite: Suite, uri: str) -> str:
    submission = new_token()
    fields: dict[str, Any] = {"submission": submission, "trace": new_token(), "recipe": RECIPE}
    await suite.producer.add(SourceMessage(kind=SourceKind.FILES, part=0, uri=uri, **fields))
    await suite.producer.add(SourceMessage(kind=SourceKind.END, part=1, **fields))
    return submission


def sources(suite: Suite) -> WaitingSets:
    return WaitingSets(suite.client, suite.keys, SOURCES, suite.settings.high_water)


async def named(suite: Suite, count: int) -> None:
    async def are() -> bool:
        return await suite.length(IMAGES) == count

    await wait_until(are, f"{count} images are named", 60)


async def waiting(suite: Suite, key: str, count: int) -> None:
    async def are() -> bool:
        return await sources(suite).count(key) == count

    await wait_until(are, f"{count} sources wait for {key}", 60)


async def wait_for_an_hour(suite: Suite, key: str, count: int) -> Sequence[str]:
    """Let so many images wait for a key; the names of what is kept about them in Redis."""
    waiting, of_key, due = (
        suite.keys.waiting(IMAGES),
        suite.keys.waiting_of_key(IMAGES),
        suite.keys.due(IMAGES),
    )
    record = json.dumps({"m": "", "n": "1", "key": key, "history": []})
    until = 1000 * (time.time() + 3600)
    await suite.client.hset(waiting, mapping={f"1-{n}": record for n in range(count)})
    await suite.client.zadd(due, {f"1-{n}": until for n in range(count)})
    await suite.client.hset(of_key, key, count)
    return waiting, of_key, due


async def test_a_silent_bucket_holds_up_no_other_source(
    stub: S3Stub, redis_url: str, tmp_path: Path
) -> None:
    stub.silent.add("away")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.jpg").write_bytes(b"picture")
    async with ingesting(redis_url, tmp_path) as (suite, _, health):
        for _ in range(30):
            await submit(suite, "s3://away/in")
        await submit(suite, "s3://here/in")
        await submit(suite, file_uri(os.fsencode(tmp_path / "root")))
        await named(suite, 4)
        assert health.problems.keys() == {"start"}, "ingest does its work"
        await waiting(suite, "s3://away", 30)
        [waits] = await sources(suite).by_key()
        assert "does not answer" in waits.reason or waits.reason == COME_FIRST
        stub.mend()
        await named(suite, 7)
        await waiting(suite, "s3://away", 0)
        assert await suite.length(DEAD) == 0


async def test_a_slow_bucket_is_not_said_to_be_silent_and_its_sources_come_back_soon(
    stub: S3Stub, redis_url: str, tmp_path: Path
) -> None:
    slow = threading.Event()

    def wait_a_little(_: str, bucket: str, __: str) -> None:
        if bucket == "away":
            slow.wait(2)

    stub.refuse = wait_a_little
    async with ingesting(redis_url, tmp_path) as (suite, _, __):
        for _ in range(12):
            await submit(suite, "s3://away/in")
        due = suite.keys.due(SOURCES)

        reasons: set[str] = set()

        async def has_no_turn() -> bool:
            reasons.update(one.reason for one in await sources(suite).by_key())
            return bool(reasons)

        await wait_until(has_no_turn, "some wait for a turn")
        assert reasons == {COME_FIRST}
        soon_ms = 1000 * ((await suite.client.time())[0] + 1 + max(TURN_SECONDS))
        assert await suite.client.zcount(due, soon_ms, "+inf") == 0
        slow.set()

        async def ended() -> bool:
            return not await suite.length(SOURCES) + await sources(suite).total()

        await wait_until(ended, "each has had its turn")


@pytest.mark.parametrize("code", ["AccessDenied", "ExpiredToken", "NoSuchBucket"])
async def test_a_bucket_that_refuses_is_waited_for_and_its_submission_ends_well(
    stub: S3Stub, redis_url: str, tmp_path: Path, code: str
) -> None:
    stub.refuse = lambda _, bucket, __: (403, code) if bucket == "away" else None
    async with ingesting(redis_url, tmp_path, max_attempts=1) as (suite, catalog, _):
        submission = await submit(suite, "s3://away/in")
        await waiting(suite, "s3://away", 1)
        await submit(suite, "s3://here/in")
        await named(suite, 3)
        stub.mend()
        await named(suite, 6)
        standing = await catalog.reader.submission(submission)
        assert (standing.named, standing.parts_open, standing.failed_parts) == (3, 0, ())


async def test_where_as_many_images_wait_as_may_no_more_of_that_bucket_are_named(
    stub: S3Stub, redis_url: str, tmp_path: Path
) -> None:
    async with ingesting(redis_url, tmp_path, high_water=5) as (suite, _, __):
        keys = await wait_for_an_hour(suite, "s3://away", 5)  # as detectors leave it
        await submit(suite, "s3://away/in")
        await waiting(suite, "s3://away", 1)
        await submit(suite, "s3://here/in")
        await named(suite, 3)
        await suite.client.delete(*keys)
        await suite.client.xtrim(suite.keys.stream(IMAGES), maxlen=0)
        await named(suite, 3)


async def test_a_root_that_is_not_there_is_waited_for(redis_url: str, tmp_path: Path) -> None:
    root = tmp_path / "root"
    async with ingesting(redis_url, tmp_path) as (suite, catalog, _):
        submission = await submit(suite, file_uri(os.fsencode(root / "album")))
        await waiting(suite, file_uri(os.fsencode(root)), 1)
        (root / "album").mkdir(parents=True)
        (root / "album" / "a.jpg").write_bytes(b"picture")
        await named(suite, 1)
        standing = await catalog.reader.submission(submission)
        assert (standing.named, standing.failed_parts) == (1, ())


async def test_what_lay_on_a_volume_that_is_unmounted_by_now_is_not_gone(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"
    mounted = {root}
    monkeypatch.setattr(Path, "is_mount", lambda path: path in mounted)
    (root / "album").mkdir(parents=True)
    async with ingesting(redis_url, tmp_path) as (suite, catalog, _):
        before = await submit(suite, file_uri(os.fsencode(root / "album")))

        async def ended() -> bool:
            return await suite.length(SOURCES) == 0

        await wait_until(ended, "the empty album is listed")
        mounted.clear()
        shutil.rmtree(root / "album")  # what an empty mount point looks like
        submission = await submit(suite, file_uri(os.fsencode(root / "album")))
        await waiting(suite, file_uri(os.fsencode(root)), 1)
        mounted.add(root)
        (root / "album").mkdir()
        (root / "album" / "a.jpg").write_bytes(b"picture")
        await named(suite, 1)
        assert (await catalog.reader.submission(before)).failed_parts == ()
        assert (await catalog.reader.submission(submission)).failed_parts == ()


@pytest.mark.parametrize("bad", ["in/m//b.jpg", "in/./b.jpg", "in/../b.jpg"])
async def test_a_key_that_cannot_be_named_is_a_failed_row_and_stops_nothing(
    stub: S3Stub, redis_url: str, tmp_path: Path, bad: str
) -> None:
    stub.buckets["here"] = dict.fromkeys([bad, "in/a.jpg", "in/z.jpg"], b"picture")
    async with ingesting(redis_url, tmp_path) as (suite, catalog, _):
        submission = await submit(suite, "s3://here/in")
        await submit(suite, "s3://away/in")
        await named(suite, 5)
        assert (await catalog.reader.submission(submission)).named == 3
        [result] = await suite.results()
        assert (result.name, result.status) == (bad.removeprefix("in/"), Status.FAILED)
        assert result.failure is Reason.NOT_A_FILE


async def test_an_absent_key_of_a_bucket_that_may_not_be_listed_fails_alone(
    stub: S3Stub, redis_url: str, tmp_path: Path
) -> None:
    stub.refuse = lambda _, __, key: (403, "AccessDenied") if key in ("", "in/no.jpg") else None
    async with ingesting(redis_url, tmp_path) as (suite, catalog, _):
        await submit(suite, "s3://here/in/0.jpg")
        await named(suite, 1)
        submission = await submit(suite, "s3://here/in/no.jpg")

        async def refused() -> bool:
            return await suite.length(SOURCES) == 0

        await wait_until(refused, "it is refused")
        [part] = (await catalog.reader.submission(submission)).failed_parts
        assert "403 Forbidden (AccessDenied)" in part.reason
        assert not await sources(suite).total()
