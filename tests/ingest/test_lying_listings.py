"""Listings of a server that lies: the walk ends, or goes on with what can be named."""

import json
from collections.abc import AsyncIterator

import pytest

from services.ingest.sources import bucket as bucket_source
from services.ingest.sources.bucket import BucketSource
from services.ingest.sources.source import SourceRefused
from shared.messages import ImageMessage
from shared.reasons import Reason
from shared.stores import buckets
from tests.fuzz.targets.listings import LISTINGS
from tests.support.s3_stub import S3Stub, s3_stub
from tests.support.stages import RECIPE, source_at


@pytest.fixture
async def stub(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[S3Stub]:
    with s3_stub() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        server.buckets["pictures"] = {}
        yield server


def entry(key: str, size: str = "7") -> str:
    return (
        f"<Contents><Key>{key}</Key><Size>{size}</Size><ETag>1</ETag>"
        "<LastModified>2026-01-01T00:00:00.000Z</LastModified></Contents>"
    )


def page(*entries: str, token: str = "") -> bytes:
    following = f"<NextContinuationToken>{token}</NextContinuationToken>" if token else ""
    return f"<ListBucketResult>{following}{''.join(entries)}</ListBucketResult>".encode()


async def test_a_listing_that_names_the_same_page_for_ever_is_refused(stub: S3Stub) -> None:
    stub.listing = lambda *_: page(entry("in/a.txt"), entry("in/b.txt"), token="again")
    with pytest.raises(SourceRefused, match=r"lists 'in/[ab]\.txt' again and again") as refused:
        await BucketSource(["s3://pictures"]).step(source_at("s3://pictures/in"))
    assert refused.value.failure.reason is Reason.UNREADABLE


async def test_a_listing_of_empty_pages_without_an_end_is_refused(
    stub: S3Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(buckets, "NAMELESS_SECONDS", 0.5)
    stub.listing = lambda *_: page(token="more")
    with pytest.raises(SourceRefused, match="page after page, and named nothing for") as refused:
        await BucketSource(["s3://pictures"]).step(source_at("s3://pictures/in"))
    assert refused.value.failure.reason is Reason.UNREADABLE


async def test_a_server_that_always_lists_from_the_beginning_is_refused_at_the_second_step(
    stub: S3Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bucket_source, "STEP", 2)
    stub.listing = lambda *_: page(*(entry(f"in/{n}.jpg") for n in range(5)))
    source = BucketSource(["s3://pictures"])
    first = await source.step(source_at("s3://pictures/in"))
    assert first.next_position == "in/1.jpg"
    with pytest.raises(SourceRefused, match=r"lists 'in/1\.jpg' again and again"):
        await source.step(source_at("s3://pictures/in", position=first.next_position))


async def test_sizes_and_keys_beyond_all_bounds_are_handed_on_as_what_they_can_be(
    stub: S3Stub,
) -> None:
    endless = "in/" + "é" * 9000 + ".jpg"
    stub.listing = lambda *_: page(entry("in/a.jpg", str(2**64 - 1)), entry(endless))
    listing = await BucketSource(["s3://pictures"]).step(source_at("s3://pictures/in"))
    large, long = listing.images
    assert large.bytes is None
    assert large.problem is None
    assert long.problem is not None
    assert "its key is too long" in long.problem.sentence
    for found in listing.images:
        image = ImageMessage.of(found, submission="5" * 32, recipe=RECIPE, generation=1)
        assert ImageMessage.decode(image.encode()) == image


@pytest.mark.parametrize("kind", LISTINGS.kinds)
async def test_the_walk_of_a_lying_listing_ends(kind: str) -> None:
    async with LISTINGS.open() as try_one:
        for number in range(8):
            content = LISTINGS.make(kind, number)
            assert json.loads(content)["pages"]
            assert (await try_one(kind, content)).wrong == ""
