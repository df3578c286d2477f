"""Faces that travel beside a result are committed as if they had been in the message."""

import asyncio
import signal

import pytest

from services.writer.service import Writer
from shared.catalog import Catalog, ImageRow
from shared.messages import (
    FACES_LIMIT,
    Attachment,
    AttachmentKind,
    Face,
    Payload,
    ResultMessage,
    Status,
    pack_faces,
)
from shared.reasons import Reason
from shared.stores.objects import Objects
from shared.streams.keys import RESULTS
from shared.streams.stage import Done
from tests.support.catalogs import nothing_found, result_of, some_images, step_of
from tests.support.processes import Processes, all_ended, processes, rows_of, suite_of, writing
from tests.support.stages import Suite, image
from tests.support.stages import result_of as result_of_message
from tests.support.writers import PayloadsInMemory, keys_of, works

__all__ = ["processes"]

CROWD = tuple(
    Face(x=n, y=n / 2, w=5, h=6, score=0.8, landmarks=tuple(n + k / 4 for k in range(10)))
    for n in range(FACES_LIMIT)
)


def attached(payload: Payload) -> tuple[Attachment, ...]:
    return (Attachment(kind=AttachmentKind.FACES, payload=payload),)


def assert_crowd(row: ImageRow) -> None:
    assert (row.status, row.face_count) == (Status.FACES, FACES_LIMIT)
    assert [(face.x, face.y, face.landmarks) for face in row.faces] == [
        (face.x, face.y, face.landmarks) for face in CROWD
    ]


async def add_crowd(suite: Suite) -> Payload:
    """A result whose faces travel beside it, and its annotated picture."""
    content, picture = pack_faces(CROWD), b"highlighted"
    faces, annotated = Payload.of(content), Payload.of(picture)
    message = result_of_message(
        image(), status=Status.FACES, attachments=attached(faces), payload=annotated
    )
    await suite.producer.add(message, {faces: content, annotated: picture})
    return faces


async def test_thousands_of_faces_pass_through_redis_into_the_row(
    processes: Processes, catalog_url: str
) -> None:
    processes.database = catalog_url
    async with suite_of(processes) as (suite, catalog), writing(suite):
        payload = await add_crowd(suite)
        await all_ended(suite, catalog, 1)
        (row,) = await rows_of(catalog)
        assert_crowd(row)
        assert row.annotated_uri is not None
        assert not await suite.client.exists(suite.keys.payload(payload.id)), "its payload goes"


@pytest.mark.parametrize("step", ["read_attachments", "commit_rows"])
async def test_a_writer_killed_between_its_steps_loses_no_face(
    step: str, processes: Processes, catalog_url: str
) -> None:
    processes.database = catalog_url
    async with suite_of(processes) as (suite, catalog):
        payload = await add_crowd(suite)
        dying = processes.start("tests.support.crashing_writer", step)
        assert await asyncio.to_thread(dying.wait, 60) == -signal.SIGKILL
        assert await suite.length(RESULTS) == 1, "it is not acknowledged"
        assert await suite.client.exists(suite.keys.payload(payload.id))
        async with writing(suite):
            await all_ended(suite, catalog, 1)
        (row,) = await rows_of(catalog)
        assert_crowd(row)
        assert not await suite.client.exists(suite.keys.payload(payload.id))


async def test_faces_lost_with_redis_end_as_failed_and_are_done_again_when_named(
    writer: Writer, catalog: Catalog, objects: Objects, payloads: PayloadsInMemory
) -> None:
    lost, kept = some_images(2)
    await catalog.ledger.queue(step_of([lost, kept]))
    message = result_of(
        lost,
        faces=(),
        attachments=attached(Payload.of(b"gone")),
        payload=payloads.add(b"highlighted"),
    )

    assert await writer.handle(works([message, nothing_found(kept)])) == [Done(), Done()]

    (row,) = await catalog.reader.show(lost.id)
    assert (row.status, row.code, row.annotated_uri) == (Status.FAILED, Reason.PICTURE_LOST, None)
    assert row.code == Reason.PICTURE_LOST
    assert await keys_of(objects) == set(), "no picture is stored for a row that names none"
    (decision, _) = await catalog.ledger.queue(step_of([lost, kept], "6" * 32))
    assert (decision.send, decision.generation) == (True, 2)


@pytest.mark.parametrize(
    "content",
    [b"", b"no JSON", b"[]", b'[{"x": 1}]', b'{"faces": []}', pack_faces((*CROWD, CROWD[0]))],
)
async def test_an_attachment_that_is_not_what_it_says_costs_only_its_own_result(
    content: bytes, writer: Writer, catalog: Catalog, payloads: PayloadsInMemory
) -> None:
    wrong, right, without = some_images(3)
    await catalog.ledger.queue(step_of([wrong, right, without]))
    batch: list[ResultMessage] = [
        result_of(wrong, faces=(), attachments=attached(payloads.add(content))),
        result_of(right, faces=(), attachments=attached(payloads.add(pack_faces(CROWD)))),
        nothing_found(without),
    ]

    assert await writer.handle(works(batch)) == [Done()] * 3

    (row,) = await catalog.reader.show(wrong.id)
    assert (row.status, row.faces) == (Status.FAILED, ())
    assert row.code == Reason.INVALID_MESSAGE
    assert row.reason.startswith("attached faces: ")
    (row,) = await catalog.reader.show(right.id)
    assert_crowd(row)
    progress = await catalog.reader.submission(row.submission_id)
    assert (progress.with_faces, progress.no_faces, progress.failed) == (1, 1, 1)
