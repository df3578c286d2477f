"""What a message claims of its payloads is not believed: no more is read, and others are lost."""

from collections.abc import AsyncIterator

import pytest

from services.writer.attachments import BYTES_AT_ONCE
from shared.errors import InvalidMessage
from shared.messages import (
    ATTACHMENT_LIMIT_BYTES,
    Attachment,
    AttachmentKind,
    Payload,
    Status,
    decode_result,
    new_token,
)
from shared.messages.image import RESULT_PAYLOADS_BYTES
from shared.portions import in_portions
from shared.streams.entries import Membership, delivery
from shared.streams.keys import IMAGES
from shared.streams.leases import BATCH_BYTES, HELD_BYTES, Batches, Capacity, Leases
from shared.streams.payloads import Payloads
from shared.streams.scripts import Scripts
from tests.support.stages import Suite, image, result_of, running, suite_on
from tests.support.waiting import wait_until

MEBIBYTE = 1 << 20


@pytest.fixture
async def suite(redis_url: str) -> AsyncIterator[Suite]:
    async with suite_on(redis_url, lease_seconds=1) as opened:
        yield opened


def claims(size: int) -> Payload:
    return Payload(id=new_token(), size=size)


async def read(suite: Suite, payload: Payload, limit: int = 4 * MEBIBYTE) -> bytes | None:
    return await Payloads(suite.client, suite.keys, limit).get(payload)


async def sent_by_redis(suite: Suite) -> int:
    return int((await suite.client.info("stats"))["total_net_output_bytes"])


@pytest.mark.parametrize(("size", "claimed"), [(3, 4), (4, 3), (3, 0), (0, 3)])
async def test_a_payload_of_another_size_is_lost(suite: Suite, size: int, claimed: int) -> None:
    payload = claims(claimed)
    await suite.client.set(suite.keys.payload(payload.id), b"x" * size)
    assert await read(suite, payload) is None


async def test_one_of_its_size_is_read_and_an_empty_one_too(suite: Suite) -> None:
    whole, empty = claims(3), claims(0)
    await suite.client.set(suite.keys.payload(whole.id), b"abc")
    await suite.client.set(suite.keys.payload(empty.id), b"")
    payloads = Payloads(suite.client, suite.keys, 10)
    assert await payloads.get_many([empty, whole, claims(1)]) == [b"", b"abc", None]


async def test_of_a_large_payload_hardly_more_is_read_than_was_claimed(suite: Suite) -> None:
    payload = claims(10)
    await suite.client.set(suite.keys.payload(payload.id), b"x" * 20 * MEBIBYTE)
    before = await sent_by_redis(suite)
    assert await Payloads(suite.client, suite.keys, 32 * MEBIBYTE).get_many([payload] * 12) == (
        [None] * 12
    )
    assert await sent_by_redis(suite) - before < MEBIBYTE


async def test_a_claim_beyond_the_limit_is_not_read_at_all(suite: Suite) -> None:
    payload, good = claims(20 * MEBIBYTE), claims(1)
    await suite.client.set(suite.keys.payload(payload.id), b"x" * payload.size)
    await suite.client.set(suite.keys.payload(good.id), b"x")
    before = await sent_by_redis(suite)
    payloads = Payloads(suite.client, suite.keys, 10 * MEBIBYTE)
    assert await payloads.get_many([payload, good, payload]) == [None, b"x", None]
    assert await sent_by_redis(suite) - before < MEBIBYTE


async def test_a_payload_that_is_no_string_is_lost_and_its_neighbours_are_read(
    suite: Suite,
) -> None:
    strange, good = claims(1), claims(1)
    await suite.client.rpush(suite.keys.payload(strange.id), "a")
    await suite.client.set(suite.keys.payload(good.id), b"x")
    payloads = Payloads(suite.client, suite.keys, 10)
    assert await payloads.get_many([strange, good]) == [None, b"x"]


@pytest.mark.parametrize("squatter", ["other bytes", "list"])
async def test_what_stands_in_the_place_of_a_new_payload_is_replaced(
    suite: Suite, squatter: str
) -> None:
    payload = Payload.of(b"pixels")
    key = suite.keys.payload(payload.id)
    if squatter == "list":
        await suite.client.rpush(key, "a")
    else:
        await suite.client.set(key, squatter)
    await suite.producer.add(image(payload=payload), {payload: b"pixels"})
    assert await suite.client.get(key) == b"pixels"
    assert await suite.client.ttl(key) == -1


def test_the_payloads_of_one_result_are_bounded_together() -> None:
    each = RESULT_PAYLOADS_BYTES // 4
    crops = tuple(claims(each) for _ in range(5))
    many = result_of(image()).model_copy(update={"crop_payloads": crops})
    with pytest.raises(InvalidMessage, match="together"):
        decode_result(many.encode())


def test_an_attachment_is_bounded() -> None:
    attached = Attachment(kind=AttachmentKind.FACES, payload=claims(1))
    good = result_of(image(), status=Status.FACES, attachments=(attached,)).encode()
    decode_result(good)
    with pytest.raises(InvalidMessage, match="attachment"):
        decode_result(good.replace(b'"size":1', b'"size":%d' % (ATTACHMENT_LIMIT_BYTES + 1)))


def test_attachments_are_unpacked_in_portions_that_fit_in_memory() -> None:
    sizes = [1, BYTES_AT_ONCE, 2, 3, BYTES_AT_ONCE + 1, 4]
    assert list(in_portions(sizes, lambda size: size, BYTES_AT_ONCE)) == [
        [1],
        [BYTES_AT_ONCE],
        [2, 3],
        [BYTES_AT_ONCE + 1],
        [4],
    ]


async def test_large_messages_come_in_small_batches() -> None:
    batches = Batches(size=10, linger=0)
    large = b"x" * (BATCH_BYTES // 2)
    batches.put([delivery(b"%d-0" % n, {b"m": large if n < 4 else b""}) for n in range(8)])
    assert [len(await batches.next()) for _ in range(3)] == [2, 2, 4]


async def test_no_more_is_read_while_what_is_held_is_large(suite: Suite) -> None:
    membership = Membership("stream", "group", "consumer", "history")
    leases = Leases(Scripts(suite.client, suite.keys), membership, 1000, Capacity(500, 500, 0))
    held = [delivery(b"%d-0" % n, {b"m": b"x" * (HELD_BYTES // 2)}) for n in range(1, 3)]
    leases.take(held[:1])
    assert leases.room == 499
    leases.take(held)  # the first of them again, as where its own lease had lapsed
    assert leases.room == 0
    leases.let_go(held)
    assert leases.room == 500


@pytest.mark.parametrize("size", [100, 20 * MEBIBYTE])
async def test_more_or_larger_messages_than_fit_are_read_a_few_at_a_time(
    suite: Suite, size: int
) -> None:
    """64 entries of a mebibyte are more than one reply may have; so is one of a huge field."""
    for _ in range(64 if size == 100 else 3):
        content = b"x" * (MEBIBYTE if size == 100 else size)
        await suite.client.xadd(suite.keys.stream(IMAGES), {"m": content, "other": b"y" * size})
    await suite.add_all([image("good.jpg")])
    async with running(suite, batch=100):

        async def ended() -> bool:
            return await suite.length(IMAGES) == 0

        await wait_until(ended, "all have an end")
    assert [one.name for one in await suite.results()] == ["good.jpg"]
    letters = await suite.entries("dead")
    assert len(letters) == (64 if size == 100 else 3)
    assert all(len(letter[b"m"]) <= MEBIBYTE + 1 for letter in letters)
