"""Pictures of a bucket by reference: named by ingest, read and put by detectors, S3 over HTTP."""

import asyncio
import os
from pathlib import Path
from typing import Any

import cv2
import pytest
from skimage import data

from services.detector.service import open_stage as open_detector
from services.ingest.service import open_stage as open_ingest
from services.ingest.sources import bucket as bucket_source
from services.ingest.sources.bucket import BucketSource
from services.ingest.sources.source import Listing, SourceAway, SourceRefused
from services.writer.service import open_stage as open_writer
from shared.catalog import Catalog, Filter
from shared.errors import FacesError, Unreachable
from shared.health import Health
from shared.messages import SourceKind, Status
from shared.reasons import Reason
from tests.support.stages import Running, source_at, suite_on
from tests.support.waiting import wait_until

S3 = Any  # boto3 makes its classes at run time


def put(s3: S3, bucket: str, *keys: str, content: bytes = b"picture") -> None:
    for key in keys:
        s3.put_object(Bucket=bucket, Key=key, Body=content)


async def test_pictures_of_a_folder_are_named_in_steps(
    s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put(s3, bucket, "in/a b.jpg", "in/c/é%41.jpg", "in/d.jpg", "in/notes.txt", "other/e.jpg")
    monkeypatch.setattr(bucket_source, "STEP", 2)
    source = BucketSource([f"s3://{bucket}"])
    first = await source.step(source_at(f"s3://{bucket}/in"))
    assert [image.name for image in first.images] == ["a b.jpg", "c/é%41.jpg"]
    assert first.next_position == "in/c/é%41.jpg"
    second = await source.step(source_at(f"s3://{bucket}/in", position=first.next_position))
    assert [image.name for image in second.images] == ["d.jpg"]
    assert second.next_position is None


async def test_one_object_named_outright(s3: S3, bucket: str) -> None:
    put(s3, bucket, "in/a.jpg")
    [image] = (
        await BucketSource([f"s3://{bucket}/in"]).step(source_at(f"s3://{bucket}/in/a.jpg"))
    ).images
    assert (image.name, image.bytes) == ("a.jpg", 7)


@pytest.mark.parametrize("url", ["s3://{}/other", "s3://{}/inside", "s3://another/in"])
async def test_what_is_not_below_an_allowed_bucket_is_refused(
    s3: S3, bucket: str, url: str
) -> None:
    with pytest.raises(SourceRefused, match="FACES_SOURCE_BUCKETS") as refused:
        await BucketSource([f"s3://{bucket}/in"]).step(source_at(url.format(bucket)))
    assert refused.value.failure.reason is Reason.NOT_ALLOWED


async def test_a_bucket_that_is_not_there_is_waited_for(s3: S3) -> None:
    with pytest.raises(SourceAway, match=r"404 Not Found \(NoSuchBucket\)") as away:
        await BucketSource(["s3://nowhere"]).step(source_at("s3://nowhere/in"))
    assert away.value.key == "s3://nowhere"
    with pytest.raises(Unreachable):
        await away.value.ask()
    s3.create_bucket(Bucket="nowhere")
    await away.value.ask()


async def test_an_object_that_is_not_there_is_gone(s3: S3, bucket: str) -> None:
    with pytest.raises(SourceRefused, match="there is no such object") as refused:
        await BucketSource([f"s3://{bucket}"]).step(source_at(f"s3://{bucket}/a.jpg"))
    assert refused.value.failure.reason is Reason.GONE


async def test_a_server_that_is_away_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "a")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "b")
    with pytest.raises(SourceAway, match="it does not answer"):
        await BucketSource(["s3://pictures"]).step(source_at("s3://pictures/in"))


async def test_a_credential_that_is_missing_here_is_waited_for(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("GOOGLE_SERVICE_ACCOUNT", str(tmp_path / "account.json"))
    with pytest.raises(SourceAway, match="FACES_SOURCE_BUCKETS") as away:
        await BucketSource(["gs://pictures"]).step(source_at("gs://pictures/in"))
    assert away.value.key == "gs://pictures"
    with pytest.raises(Unreachable):
        await away.value.ask()


async def test_the_whole_way_of_a_bucket_passes_no_pixels_through_redis(
    s3: S3, bucket: str, redis_url: str, tmp_path: Path
) -> None:
    portrait = cv2.cvtColor(data.astronaut(), cv2.COLOR_RGB2BGR)
    _, content = cv2.imencode(".jpg", portrait)
    put(s3, bucket, "in/one.jpg", "in/two.jpg", content=content.tobytes())
    put(s3, bucket, "in/broken.jpg", content=b"no picture")
    database = f"sqlite:///{tmp_path}/faces.db"
    overrides: dict[str, object] = {
        "database_url": database,
        "objects_url": f"s3://{bucket}/out",
        "source_buckets": (f"s3://{bucket}/in",),
        "pictures_by": "detector",
        "model": "haar",
        "slots": 1,
    }
    async with suite_on(redis_url, **overrides) as suite:
        health = Health()
        async with (
            open_ingest(suite.settings, health) as ingest,
            open_detector(suite.settings, health) as detector,
            open_writer(suite.settings, health) as writer,
        ):
            running = [Running(stage) for stage in (ingest, detector, writer)]
            message = source_at(f"s3://{bucket}/in")
            await suite.producer.add(message)
            end = message.model_copy(update={"kind": SourceKind.END, "part": 1})
            await suite.producer.add(end)
            catalog = await Catalog.open(database)

            async def complete() -> bool:
                try:
                    return (await catalog.reader.submission(message.submission)).complete
                except FacesError:  # not known yet
                    return False

            await wait_until(complete, "all pictures have their end", 60)
            rows = {row.name: row async for row in catalog.reader.results(Filter())}
            await catalog.close()
            assert await suite.client.keys(suite.keys.payload("*").replace("{", "[{]")) == []
            await asyncio.gather(*(run.drain() for run in running))
    assert {name: row.status for name, row in rows.items()} == {
        "one.jpg": Status.FACES,
        "two.jpg": Status.FACES,
        "broken.jpg": Status.FAILED,
    }
    stored = s3.list_objects_v2(Bucket=bucket, Prefix="out/")["Contents"]
    assert len(stored) == 2
    assert {os.path.basename(row.annotated_uri) for row in rows.values() if row.annotated_uri} == {
        os.path.basename(one["Key"]) for one in stored
    }


def folders_of(listing: Listing) -> dict[str, tuple[int, str]]:
    return {kind: (one.count, one.example) for kind, one in listing.passed_over.items()}


async def test_folders_are_passed_over_and_counted_as_on_a_disk(s3: S3, bucket: str) -> None:
    put(s3, bucket, "in/a.jpg", "in/b/@eaDir/a.jpg/SYNO.jpg", "in/b/@eaDir/b.jpg", "in/b/c.jpg")
    put(s3, bucket, "in/.Trash-1000/files/d.jpg", "in/.cache/e.jpg", "in/.f.jpg")
    put(s3, bucket, "in/raw/g.jpg", "in/raw/h.jpg", "in/skip.jpg")
    put(s3, bucket, "in/out/.faces/catalog.sqlite", "in/out/annotated/a.jpg", "in/out/i.jpg")
    message = source_at(f"s3://{bucket}/in", exclude=("raw/", "skip.jpg"))
    listing = await BucketSource([f"s3://{bucket}"]).step(message)
    assert [image.name for image in listing.images] == ["a.jpg", "b/c.jpg"]
    assert folders_of(listing) == {
        "recycle_bin": (1, ".Trash-1000/"),
        "hidden": (1, ".cache/"),
        "thumbnails": (1, "b/@eaDir/"),
        "output": (1, "out/"),
        "excluded": (2, "raw/"),
    }


async def test_what_is_passed_over_counts_once_however_many_steps_there_are(
    s3: S3, bucket: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_source, "STEP", 1)
    put(s3, bucket, *(f"in/{n}/{name}" for n in (1, 2) for name in ("@eaDir/x.jpg", "a.jpg")))
    put(s3, bucket, "in/out/#first.jpg", "in/out/.faces/mark", "in/out/a.jpg", "in/z.jpg")
    source, names, folders = BucketSource([f"s3://{bucket}"]), [], 0
    position: str | None = ""
    while position is not None:
        listing = await source.step(source_at(f"s3://{bucket}/in", position=position))
        names += [image.name for image in listing.images]
        folders += sum(one.count for one in listing.passed_over.values())
        position = listing.next_position
    assert names == ["1/a.jpg", "2/a.jpg", "out/#first.jpg", "z.jpg"]
    assert folders == 3


async def test_a_folder_that_is_included_by_name_is_searched(s3: S3, bucket: str) -> None:
    put(s3, bucket, "in/@eaDir/a.jpg", "in/out/.faces/mark.jpg", "in/out/annotated/b.jpg")
    message = source_at(f"s3://{bucket}/in", include=("@eaDir/", "out/"))
    listing = await BucketSource([f"s3://{bucket}"]).step(message)
    assert [image.name for image in listing.images] == ["@eaDir/a.jpg", "out/annotated/b.jpg"]
    assert folders_of(listing) == {}


async def test_an_object_named_outright_that_a_pattern_excludes_is_counted(
    s3: S3, bucket: str
) -> None:
    message = source_at(f"s3://{bucket}/in/a.jpg", exclude=("*.jpg",))
    listing = await BucketSource([f"s3://{bucket}"]).step(message)
    assert (listing.images, folders_of(listing)) == ([], {"excluded": (1, "")})
