"""Moving pictures into a store that is away: tried again and again, in memory only once."""

import asyncio
import gc
import sys
from collections.abc import Iterator

import pytest

from services.writer.service import Writer
from shared.catalog import Catalog
from shared.errors import Unreachable
from shared.messages import ResultMessage
from shared.stores import patience
from shared.stores.objects import Objects
from tests.support.catalogs import result_of, some_images, step_of
from tests.support.s3_stub import Rule, S3Stub, s3_stub
from tests.support.waiting import wait_until
from tests.support.writers import PayloadsInMemory, works

REFUSES: dict[str, Rule] = {
    "forbidden": lambda *_: (403, "AccessDenied"),
    "too busy": lambda *_: (503, "SlowDown"),
    "silent": lambda *_: None,
}


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[S3Stub]:
    """An S3 with one bucket, `b`, that programs here find, and are impatient with."""
    monkeypatch.setattr(patience, "PATIENCE_SECONDS", 0.1)
    monkeypatch.setattr(patience, "SIGN_SECONDS", 0.3)
    with s3_stub() as stub:
        stub.buckets["b"] = {}
        for name, value in stub.environment.items():
            monkeypatch.setenv(name, value)
        yield stub


@pytest.fixture
def no_collection() -> Iterator[None]:
    """Services look for cycles seldom: what is in one stays for long."""
    gc.collect()
    gc.disable()
    yield
    gc.enable()


async def a_batch(
    catalog: Catalog, payloads: PayloadsInMemory, count: int = 20
) -> list[ResultMessage]:
    """Results with a picture each, of images that are queued."""
    images = some_images(count)
    await catalog.ledger.queue(step_of(images))
    return [
        result_of(one, payload=payloads.add(number.to_bytes(4, "big") * 1000))
        for number, one in enumerate(images)
    ]


@pytest.mark.parametrize("how", REFUSES)
async def test_nothing_is_kept_of_a_try_that_the_store_did_not_take(
    stub: S3Stub,
    catalog: Catalog,
    payloads: PayloadsInMemory,
    no_collection: None,
    how: str,
) -> None:
    batch = works(await a_batch(catalog, payloads))

    def held() -> int:
        return sum(sys.getrefcount(content) for content in payloads.contents.values())

    unheld, tasks = held(), len(asyncio.all_tasks())
    writer = Writer.of(payloads, catalog, Objects.open("s3://b"))
    stub.refuse = REFUSES[how]
    if how == "silent":
        stub.silent.add("b")
    for _ in range(3):
        with pytest.raises(Unreachable):
            await writer.handle(batch)

        async def none_is_held() -> bool:
            # A request that was given up ends in another thread, and a sign of life by its limit.
            return held() == unheld and len(asyncio.all_tasks()) <= tasks + 1

        await wait_until(none_is_held, "no picture of this try is held any more", timeout=20)
    stub.mend()


async def test_deleting_leaves_nothing_under_way_where_the_store_is_away(stub: S3Stub) -> None:
    objects = Objects.open("s3://b")
    keys = [f"r/{number}.jpg" for number in range(50)]
    began = asyncio.all_tasks()
    stub.refuse = REFUSES["too busy"]
    with pytest.raises(Unreachable):
        await objects.delete_all(keys)
    assert asyncio.all_tasks() == began
