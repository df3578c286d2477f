"""Ingest names each picture once, writes its row, and lets submissions take turns."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from services.ingest.service import open_stage
from services.ingest.sources.registry import Sources
from shared.catalog import Catalog, SubmissionStatus
from shared.health import Health
from shared.identity import inline_id
from shared.messages import (
    ImageMessage,
    InlineImage,
    Payload,
    ResultMessage,
    SourceFailedMessage,
    SourceKind,
    SourceMessage,
    decode_result,
    new_token,
)
from shared.reasons import Reason
from shared.streams.keys import IMAGES, RESULTS, SOURCES
from shared.urls import file_uri
from tests.support.logs import recorded
from tests.support.stages import RECIPE, Running, Suite, suite_on
from tests.support.waiting import wait_until


@asynccontextmanager
async def ingesting(
    url: str,
    tmp_path: Path,
    **overrides: Any,  # Any: setting values
) -> AsyncIterator[tuple[Suite, Catalog]]:
    """An ingest service at work on a server and a database of the test."""
    database = f"sqlite:///{tmp_path}/faces.db"
    overrides.setdefault("source_roots", (tmp_path,))
    async with (
        suite_on(url, database_url=database, **overrides) as suite,
        open_stage(suite.settings, Health()) as stage,
    ):
        running = Running(stage)
        catalog = await Catalog.open(database)
        try:
            yield suite, catalog
        finally:
            await running.drain()
            await catalog.close()


def part(kind: SourceKind, submission: str, number: int, **fields: Any) -> SourceMessage:
    return SourceMessage(
        submission=submission, trace=new_token(), recipe=RECIPE, kind=kind, part=number, **fields
    )


async def submit(suite: Suite, path: Path | bytes) -> str:
    submission = new_token()
    uri = file_uri(os.fsencode(path))
    await suite.producer.add(part(SourceKind.FILES, submission, 0, uri=uri))
    await suite.producer.add(part(SourceKind.END, submission, 1))
    return submission


async def images(suite: Suite) -> list[ImageMessage]:
    return [ImageMessage.decode(fields[b"m"]) for fields in await suite.entries(IMAGES)]


async def settled(suite: Suite) -> bool:
    return await suite.length(SOURCES) == 0


def make_pictures(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number:06}.jpg").write_bytes(b"picture")


async def progress(catalog: Catalog, submission: str) -> SubmissionStatus:
    found = await catalog.reader.submission(submission)
    assert found is not None
    return found


async def test_each_picture_of_a_folder_gets_a_row_and_a_message(
    redis_url: str, tmp_path: Path
) -> None:
    make_pictures(tmp_path / "in" / "sub", 3)
    (tmp_path / "in" / "notes.txt").write_text("no picture")
    async with ingesting(redis_url, tmp_path) as (suite, catalog):
        submission = await submit(suite, tmp_path / "in")
        await wait_until(lambda: settled(suite), "the folder is expanded")
        names = [one.name for one in await images(suite)]
        assert names == ["sub/000000.jpg", "sub/000001.jpg", "sub/000002.jpg"]
        standing = await progress(catalog, submission)
        assert (standing.named, standing.queued, standing.complete) == (3, 3, False)


async def test_a_source_that_fails_before_its_first_step_is_one_of_a_known_submission(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else its end would be one that nobody asked for."""

    def stumble(_sources: Sources, _message: SourceMessage) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(Sources, "of", stumble)
    async with ingesting(redis_url, tmp_path, max_attempts=1) as (suite, catalog):
        submission = await submit(suite, tmp_path)
        await wait_until(lambda: settled(suite), "the source has failed")
        (entry,) = await suite.entries(RESULTS)
        told = decode_result(entry[b"m"])
        assert isinstance(told, SourceFailedMessage) and told.submission == submission
        report = await catalog.ledger.commit([], [told])
        assert not report.unknown_submissions
        assert (await progress(catalog, submission)).refused == 1


async def test_a_large_folder_advances_in_steps_and_a_small_one_does_not_wait_for_it(
    redis_url: str, tmp_path: Path
) -> None:
    make_pictures(tmp_path / "large", 2600)
    make_pictures(tmp_path / "small", 2)
    async with suite_on(redis_url, source_roots=(tmp_path,)) as before:
        large = await submit(before, tmp_path / "large")
        small = await submit(before, tmp_path / "small")
    async with ingesting(redis_url, tmp_path, high_water=100_000) as (suite, catalog):
        await wait_until(lambda: settled(suite), "both are expanded")
        order = [one.submission for one in await images(suite)]
        assert len(order) == 2602
        assert order.count(small) == 2
        assert order.index(small) <= 250, "right behind the large one's first step, or before it"
        assert (await progress(catalog, large)).named == 2600


async def test_a_step_that_is_repeated_names_nothing_twice(redis_url: str, tmp_path: Path) -> None:
    make_pictures(tmp_path / "in", 3)
    async with ingesting(redis_url, tmp_path) as (suite, catalog):
        submission = await submit(suite, tmp_path / "in")
        await wait_until(lambda: settled(suite), "expanded")
        uri = file_uri(os.fsencode(tmp_path / "in"))
        await suite.producer.add(part(SourceKind.FILES, submission, 0, uri=uri))
        await wait_until(lambda: settled(suite), "expanded again")
        assert len(await images(suite)) == 3
        assert (await progress(catalog, submission)).named == 3


async def test_file_names_of_any_bytes_survive(redis_url: str, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    names = [b"a b'\".jpg", b"new\nline.jpg", b"caf\xe9.jpg", "né.jpg".encode()]
    for name in names:
        Path(os.fsdecode(os.path.join(os.fsencode(folder), name))).write_bytes(b"picture")
    async with ingesting(redis_url, tmp_path) as (suite, catalog):
        submission = await submit(suite, folder)
        await wait_until(lambda: settled(suite), "expanded")
        found = {one.name: one.source_uri for one in await images(suite)}
        assert found.keys() == {"a b'\".jpg", "new\nline.jpg", "caf\\xe9.jpg", "né.jpg"}
        assert (found["caf\\xe9.jpg"] or "").endswith("caf%E9.jpg")
        assert (await progress(catalog, submission)).queued == 4


async def test_a_file_named_outright_gets_a_row_whatever_it_is_called(
    redis_url: str, tmp_path: Path
) -> None:
    (tmp_path / "README").write_text("no picture")
    async with ingesting(redis_url, tmp_path) as (suite, _):
        await submit(suite, tmp_path / "README")
        await wait_until(lambda: settled(suite), "expanded")
        assert [one.name for one in await images(suite)] == ["README"]


async def test_a_folder_outside_the_roots_is_refused_and_the_submission_ends(
    redis_url: str, tmp_path: Path
) -> None:
    outside = tmp_path / "outside"
    make_pictures(outside, 1)
    (tmp_path / "allowed").mkdir()
    (tmp_path / "allowed" / "link").symlink_to(outside)
    async with ingesting(redis_url, tmp_path, source_roots=(tmp_path / "allowed",)) as parts:
        suite, catalog = parts
        for path in (
            outside,
            tmp_path / "allowed" / "link",
            tmp_path / "allowed" / ".." / "outside",
        ):
            submission = await submit(suite, path)
            await wait_until(lambda: settled(suite), "refused")
            standing = await progress(catalog, submission)
            assert standing.complete
            assert "FACES_SOURCE_ROOTS" in standing.failed_parts[0].reason
        assert await suite.length(IMAGES) == 0


async def test_a_path_that_is_not_there_ends_its_part_with_the_reason(
    redis_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = recorded(monkeypatch, "services.ingest.expand")
    async with ingesting(redis_url, tmp_path) as (suite, catalog):
        submission = await submit(suite, tmp_path / "gone")
        await wait_until(lambda: settled(suite), "refused")
        standing = await progress(catalog, submission)
        assert standing.complete
        assert standing.failed_parts[0].reason.endswith("gone: No such file or directory")
    assert "source refused" in log.text
    assert Reason.GONE in log.text
    assert str(tmp_path / "gone") not in log.text, "logs name no files"


async def test_a_broken_link_gets_a_failed_result(redis_url: str, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "broken.jpg").symlink_to(tmp_path / "nowhere")
    async with ingesting(redis_url, tmp_path) as (suite, _):
        await submit(suite, tmp_path / "in")
        await wait_until(lambda: settled(suite), "expanded")
        [result] = [decode_result(fields[b"m"]) for fields in await suite.entries(RESULTS)]
        assert isinstance(result, ResultMessage)
        assert result.reason == "cannot be read: No such file or directory"
        assert result.failure is Reason.GONE


async def test_inline_pictures_keep_their_bodies(redis_url: str, tmp_path: Path) -> None:
    async with ingesting(redis_url, tmp_path) as (suite, catalog):
        submission = new_token()
        payload = Payload.of(b"pixels")
        inline = InlineImage(id=inline_id("a.jpg", b"pixels"), name="a.jpg", payload=payload)
        message = part(SourceKind.INLINE, submission, 0, images=(inline,))
        await suite.producer.add(message, {payload: b"pixels"})
        await suite.producer.add(part(SourceKind.END, submission, 1))
        await wait_until(lambda: settled(suite), "expanded")
        [handed_on] = await images(suite)
        assert handed_on.payload == payload
        assert await suite.client.get(suite.keys.payload(payload.id)) == b"pixels"

        twin = Payload.of(b"pixels")
        again = part(
            SourceKind.INLINE, new_token(), 0, images=(inline.model_copy(update={"payload": twin}),)
        )
        await suite.producer.add(again, {twin: b"pixels"})
        await wait_until(lambda: settled(suite), "expanded")
        assert await suite.length(IMAGES) == 1, "under way already"
        assert not await suite.client.exists(suite.keys.payload(twin.id)), "its bytes go"
        assert (await progress(catalog, submission)).named == 1
