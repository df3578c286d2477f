"""The writer: objects, then rows, then the acknowledgement; one culprit costs nobody else."""

from collections.abc import Awaitable, Callable

import pytest

from services.writer.service import Writer, failed
from shared.catalog import Catalog, Filter
from shared.errors import Unreachable
from shared.messages import (
    Attachment,
    AttachmentKind,
    Face,
    Payload,
    ResultMessage,
    SourceFailedMessage,
    Status,
    now,
    pack_faces,
)
from shared.picture_keys import PictureKeys
from shared.reasons import Failure, Reason
from shared.stores.objects import ObjectRefused, Objects
from shared.streams.stage import Dead, Done, Retry, Work
from tests.support.catalogs import (
    FACE,
    RECIPE,
    failure,
    nothing_found,
    result_of,
    some_images,
    step_of,
)
from tests.support.s3_stub import s3_stub
from tests.support.writers import Crash, PayloadsInMemory, keys_of, works

ONE = "5" * 32

STEPS = [
    *("read_attachments", "store_pictures", "delete_outdated"),
    *("commit_rows", "delete_orphans"),
]
"""The steps of a batch, in order."""


async def test_a_result_becomes_an_object_and_a_row_that_names_it(
    writer: Writer, catalog: Catalog, objects: Objects, payloads: PayloadsInMemory
) -> None:
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image]))
    result = result_of(
        image,
        payload=payloads.add(b"highlighted"),
        crops=PictureKeys(RECIPE.id, image.id).crops(1),
        crop_payloads=(payloads.add(b"face"),),
    )

    assert await writer.handle(works([result])) == [Done()]

    (row,) = await catalog.reader.show(image.id)
    key = f"{RECIPE.id}/{image.id}.jpg"
    assert (row.status, row.annotated_uri) == (Status.FACES, objects.uri(key))
    assert await objects.get(key) == b"highlighted"
    assert await keys_of(objects) == {key, f"{RECIPE.id}/{image.id}/crop-0.jpg"}


async def test_a_picture_that_the_detector_stored_is_only_named(
    writer: Writer, catalog: Catalog, objects: Objects
) -> None:
    (image,) = some_images(1)
    key = f"{RECIPE.id}/{image.id}.jpg"
    await catalog.ledger.queue(step_of([image]))
    await objects.put(key, b"by the detector")

    assert await writer.handle(works([result_of(image, annotated=key)])) == [Done()]

    (row,) = await catalog.reader.show(image.id)
    assert row.annotated_uri == objects.uri(key)
    assert await objects.get(key) == b"by the detector"


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("when", ["before", "after"])
async def test_dying_at_any_point_ends_as_one_row_and_one_object(
    writer: Writer,
    catalog: Catalog,
    objects: Objects,
    payloads: PayloadsInMemory,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    when: str,
) -> None:
    images = some_images(3)
    await catalog.ledger.queue(step_of(images))
    results = [result_of(image, payload=payloads.add(b"highlighted")) for image in images]
    results[1] = result_of(
        images[1],
        payload=results[1].payload,
        faces=(),
        attachments=(
            Attachment(kind=AttachmentKind.FACES, payload=payloads.add(pack_faces((FACE, FACE)))),
        ),
    )
    work: Callable[..., Awaitable[object]] = getattr(writer, step)

    async def die(*arguments: object) -> None:
        if when == "after":
            await work(*arguments)
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(writer, step, die)
        with pytest.raises(Crash):
            await writer.handle(works(results))
    restarted = Writer.of(payloads, catalog, objects)

    assert await restarted.handle(works(results)) == [Done()] * 3

    rows = [row async for row in catalog.reader.results(Filter())]
    assert [(row.status, len(row.faces)) for row in rows] == [(Status.FACES, 2)] * 3
    assert await keys_of(objects) == {f"{RECIPE.id}/{image.id}.jpg" for image in images}
    assert (await catalog.reader.submission(ONE)).with_faces == 3


async def test_the_culprit_of_a_refused_batch_ends_alone_with_the_reason(
    writer: Writer, catalog: Catalog
) -> None:
    images = some_images(20)
    await catalog.ledger.queue(step_of(images))
    results = [nothing_found(image) for image in images]
    for position in (0, 7, 8):
        results[position] = result_of(images[position]).model_copy(update={"bytes": 1 << 70})

    outcomes = await writer.handle(works(results))

    assert outcomes == [Done()] * 20
    progress = await catalog.reader.submission(ONE)
    assert (progress.no_faces, progress.failed, progress.queued) == (17, 3, 0)
    (row,) = await catalog.reader.show(images[7].id)
    assert "refuses" in row.reason


async def test_what_cannot_even_fail_is_a_dead_letter_and_its_neighbours_are_committed(
    writer: Writer, catalog: Catalog
) -> None:
    images = some_images(2)
    await catalog.ledger.queue(step_of(images))
    hopeless = SourceFailedMessage(
        submission=ONE, trace="7" * 32, recipe=RECIPE, part=0, reason="no such folder"
    ).model_copy(update={"part": 1 << 70})

    outcomes = await writer.handle(works([result_of(images[0]), hopeless, result_of(images[1])]))

    assert [type(outcome) for outcome in outcomes] == [Done, Dead, Done]
    assert (await catalog.reader.submission(ONE)).with_faces == 2


async def test_a_result_that_a_failover_took_away_whole_did_not_fail(
    writer: Writer, catalog: Catalog
) -> None:
    """Its image is under way again, and its row waits for that."""

    async def no() -> bool:
        return False

    gone, kept = some_images(2)
    await catalog.ledger.queue(step_of([gone, kept]))
    result = result_of(gone, payload=Payload.of(b"gone"))
    outcomes = await writer.handle([Work(result, 1, "writer-1", no), *works([nothing_found(kept)])])
    assert outcomes == [Done(), Done()], "the fence refuses the first"
    rows = [await catalog.reader.show(one.id) for one in (gone, kept)]
    assert [row.status for (row,) in rows] == [Status.QUEUED, Status.NO_FACES]


async def test_a_picture_lost_with_redis_ends_as_failed_and_is_done_again_when_named(
    writer: Writer, catalog: Catalog
) -> None:
    lost, kept = some_images(2)
    await catalog.ledger.queue(step_of([lost, kept]))

    outcomes = await writer.handle(
        works([result_of(lost, payload=Payload.of(b"gone")), nothing_found(kept)])
    )

    assert outcomes == [Done(), Done()]
    (row,) = await catalog.reader.show(lost.id)
    assert (row.status, row.code, row.annotated_uri) == (Status.FAILED, Reason.PICTURE_LOST, None)
    decisions = await catalog.ledger.queue(step_of([lost, kept], "6" * 32))
    assert [(decision.send, decision.generation) for decision in decisions] == [
        (True, 2),
        (False, 1),
    ]


async def test_an_object_that_the_store_refuses_is_tried_again_and_then_fails_with_the_reason(
    writer: Writer,
    catalog: Catalog,
    objects: Objects,
    payloads: PayloadsInMemory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    refused, fine = some_images(2)
    await catalog.ledger.queue(step_of([refused, fine]))
    put = objects.put

    async def refuse(key: str, content: bytes) -> None:
        if refused.id in key:
            raise ObjectRefused("object store file:///full refuses: 403 Forbidden")
        await put(key, content)

    monkeypatch.setattr(objects, "put", refuse)
    results = [result_of(image, payload=payloads.add(b"x")) for image in (refused, fine)]

    outcomes = await writer.handle(works(results))

    assert outcomes == [
        Retry("object store file:///full refuses: 403 Forbidden", Reason.STORE_REFUSED),
        Done(),
    ]
    assert (await catalog.reader.submission(ONE)).queued == 1
    last = failed(results[0], Failure(Reason.STORE_REFUSED, "403 Forbidden"), 3, "writer-1")
    assert isinstance(last, ResultMessage)
    assert await writer.handle(works([last])) == [Done()]
    (row,) = await catalog.reader.show(refused.id)
    assert (row.status, row.reason, row.attempts) == (Status.FAILED, "403 Forbidden", 3)
    assert failed(last, Failure(Reason.ERROR, "again"), 3, "writer-1") is None


async def test_an_unreachable_database_keeps_the_batch_and_stores_its_pictures_once(
    writer: Writer,
    catalog: Catalog,
    objects: Objects,
    payloads: PayloadsInMemory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image]))
    puts: list[str] = []
    put = objects.put

    async def counted(key: str, content: bytes) -> None:
        puts.append(key)
        await put(key, content)

    async def away(*_: object, **__: object) -> None:
        raise Unreachable("the catalog does not answer")

    monkeypatch.setattr(objects, "put", counted)
    batch = works([result_of(image, payload=payloads.add(b"x"))])
    with monkeypatch.context() as patch:
        patch.setattr(catalog.ledger, "commit", away)
        for _ in range(3):
            with pytest.raises(Unreachable):
                await writer.handle(batch)

    assert await writer.handle(batch) == [Done()]
    assert len(puts) == 1


async def test_a_late_result_of_a_forgotten_picture_leaves_neither_row_nor_object(
    writer: Writer, catalog: Catalog, objects: Objects, payloads: PayloadsInMemory
) -> None:
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image]))
    await catalog.curator.forget_some(Filter(image=image.id))

    assert await writer.handle(works([result_of(image, payload=payloads.add(b"x"))])) == [Done()]

    assert await catalog.reader.show(image.id) == []
    assert await keys_of(objects) == set()


async def test_a_failed_part_and_results_are_committed_together(
    writer: Writer, catalog: Catalog
) -> None:
    images = some_images(2)
    await catalog.ledger.queue(step_of(images))
    gone = SourceFailedMessage(
        submission=ONE, trace="7" * 32, recipe=RECIPE, part=1, uri="file:///gone", reason="gone"
    )
    await catalog.ledger.seal(ONE, 2, "", now())

    outcomes = await writer.handle(works([result_of(images[0]), gone, failure(images[1])]))

    assert outcomes == [Done()] * 3
    progress = await catalog.reader.submission(ONE)
    assert progress.complete
    assert progress.failed_parts[0].reason == "gone"


async def test_payloads_are_held_in_memory_only_a_few_at_a_time(
    writer: Writer, catalog: Catalog, payloads: PayloadsInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.writer.payloads.BYTES_AT_ONCE", 1000)
    images = some_images(12)
    await catalog.ledger.queue(step_of(images))
    results = [result_of(image, payload=payloads.add(b"x" * 300)) for image in images]

    assert await writer.handle(works(results)) == [Done()] * 12

    assert payloads.most_at_once == 900


async def test_thousands_of_faces_in_one_picture_are_all_kept(
    writer: Writer, catalog: Catalog
) -> None:
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image]))
    crowd = tuple(Face(x=n, y=n, w=5, h=5, score=0.8) for n in range(2000))

    assert await writer.handle(works([result_of(image, faces=crowd)])) == [Done()]

    (row,) = await catalog.reader.show(image.id)
    assert (row.face_count, len(row.faces), row.faces[1999].x) == (2000, 2000, 1999)


async def test_a_store_that_refuses_all_keeps_the_batch_and_blames_nobody(
    catalog: Catalog, payloads: PayloadsInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = some_images(3)
    await catalog.ledger.queue(step_of(images))
    batch = works([result_of(image, payload=payloads.add(b"x")) for image in images])
    with s3_stub() as stub:
        stub.buckets["b"] = {}
        for name, value in stub.environment.items():
            monkeypatch.setenv(name, value)
        writer = Writer.of(payloads, catalog, Objects.open("s3://b"))
        for code in ("AccessDenied", "ExpiredToken", "NoSuchBucket"):
            stub.refuse = lambda *_, code=code: (403, code)
            with pytest.raises(Unreachable, match=code):
                await writer.handle(batch)
        assert (await catalog.reader.submission(ONE)).queued == 3
        stub.mend()
        assert await writer.handle(batch) == [Done()] * 3
        assert len(stub.buckets["b"]) == 3
    assert (await catalog.reader.submission(ONE)).with_faces == 3


async def test_of_a_batch_the_store_refuses_one_picture_alone(
    catalog: Catalog, payloads: PayloadsInMemory, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = some_images(2)
    await catalog.ledger.queue(step_of([bad, good]))
    results = [result_of(image, payload=payloads.add(b"x")) for image in (bad, good)]
    with s3_stub() as stub:
        stub.buckets["b"] = {}
        for name, value in stub.environment.items():
            monkeypatch.setenv(name, value)
        stub.refuse = lambda _, __, key: (403, "AccessDenied") if bad.id in key else None
        writer = Writer.of(payloads, catalog, Objects.open("s3://b"))
        refused, done = await writer.handle(works(results))
    assert isinstance(refused, Retry)
    assert (refused.reason, done) == (Reason.STORE_REFUSED, Done())
