"""File names and folders made by a stranger: each file gets its row, and none stops the others."""

import os
from collections import Counter
from pathlib import Path

import pytest

from services.cli.sending.largest import Largest
from services.cli.sending.parts import Submission
from services.cli.sending.reading import pictures
from services.detector.failures import Refused
from services.detector.fetching import Fetching
from services.detector.room import Room
from services.ingest.sources.bucket import BucketSource
from services.ingest.sources.source import SourceRefused
from shared.folders.patterns import EVERYTHING
from shared.identity import inline_id
from shared.messages import InlineImage, Payload, SourceKind, SourceMessage
from shared.references import BUCKETS
from shared.settings import Settings
from shared.stores.buckets import Buckets
from shared.streams.keys import SOURCES
from tests.ingest.test_ingest import images, ingesting, settled, submit
from tests.support.detecting import answering_all
from tests.support.stages import RECIPE, Suite, suite_on
from tests.support.waiting import wait_until

ODD = b"\xff" * 250


def make_deep_folder(root: Path) -> None:
    """A path that is four times as long when its bytes are written out; and a plain one."""
    folder = os.open(root, os.O_RDONLY)
    for _ in range(6):
        os.mkdir(ODD, dir_fd=folder)
        inner = os.open(ODD, os.O_RDONLY, dir_fd=folder)
        os.close(folder)
        folder = inner
    os.close(os.open(b"deep.jpg", os.O_CREAT | os.O_WRONLY, dir_fd=folder))
    os.close(folder)
    (root / "plain.jpg").write_bytes(b"picture")
    (root / "a\n\x1b[2J.jpg").write_bytes(b"picture")


async def test_a_path_too_long_to_be_written_out_stops_no_other_picture(
    redis_url: str, tmp_path: Path
) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    make_deep_folder(folder)
    async with ingesting(redis_url, tmp_path) as (suite, catalog):
        submission = await submit(suite, folder)
        await wait_until(lambda: settled(suite), "the folder is expanded")
        names = [one.name for one in await images(suite)]
        assert len(names) == 3
        assert max(map(len, names)) <= 4096
        assert [name for name in names if name.endswith("\\xff/deep.jpg")]
        standing = await catalog.reader.submission(submission)
        assert (standing.named, standing.failed_parts) == (3, ())


def test_such_a_picture_can_be_sent_along(tmp_path: Path) -> None:
    make_deep_folder(tmp_path)
    refused: list[str] = []
    for name, content in pictures(
        [os.fsencode(tmp_path)],
        Largest(1000),
        refused.append,
        EVERYTHING,
        refused.append,
        Counter(),
    ):
        assert InlineImage(id=inline_id(name, content), name=name, payload=Payload.of(content)).name
    assert refused == []


async def test_a_reference_with_a_nul_byte_or_of_another_kind_is_refused_in_words(
    redis_url: str, tmp_path: Path
) -> None:
    told = {
        "file:///tmp/a%00b": "a path with a NUL byte in it names no file",
        "http://169.254.169.254/latest/meta-data": "cannot be read by reference",
        "file://host/share/a.jpg": "is not a file:/// URI",
    }
    async with ingesting(redis_url, tmp_path) as (suite, catalog):
        for uri, reason in told.items():
            submission = await submit_uri(suite, uri)
            await wait_until(lambda: settled(suite), "refused")
            (part,) = (await catalog.reader.submission(submission)).failed_parts
            assert reason in part.reason


async def submit_uri(suite: Suite, uri: str) -> str:
    submission = Submission(suite.producer, RECIPE, "by reference")
    await submission.add_uri(uri)
    await submission.close()
    return submission.id


async def test_a_folder_whose_name_is_not_utf_8_can_name_a_submission(redis_url: str) -> None:
    async with suite_on(redis_url) as suite:
        submission = Submission(suite.producer, RECIPE, os.fsdecode(b"holiday\xff"))
        await submission.close()
        [fields] = await suite.entries(SOURCES)
        assert SourceMessage.decode(fields[b"m"]).submission_name == "holiday\\xff"


@pytest.mark.parametrize("way", ["../secret", "%2e%2e/secret", "b//c", "b%0a", "%00"])
async def test_no_reference_leads_out_of_an_allowed_folder_of_a_bucket(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT", "http://127.0.0.1:9")  # nobody is asked
    monkeypatch.setenv("AWS_ALLOW_HTTP", "true")
    allowed = ("s3://pictures/public",)
    uri = f"s3://pictures/public/{way}/x.jpg"
    settings = Settings.load({"source_buckets": allowed})
    fetching = Fetching(settings, Buckets(BUCKETS.setting), answering_all(), Room(1000))
    with pytest.raises(Refused, match="names no object"):
        async with fetching.content(uri, ""):
            pytest.fail("it was fetched")
    message = SourceMessage(
        submission="5" * 32, trace="7" * 32, recipe=RECIPE, kind=SourceKind.FILES, part=0, uri=uri
    )
    with pytest.raises(SourceRefused, match="names no object"):
        await BucketSource(allowed).step(message)
    with pytest.raises(Refused, match="FACES_SOURCE_BUCKETS"):
        async with fetching.content("s3://pictures/publicity/x.jpg", ""):
            pytest.fail("it was fetched")
