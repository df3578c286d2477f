"""A picture that is done again keeps no object that its new row does not have."""

from collections.abc import Callable
from datetime import timedelta

import pytest

from services.writer.service import Writer
from shared.catalog import Catalog, Filter, QueuedImage, Redo
from shared.messages import ResultMessage, now
from shared.picture_keys import PictureKeys
from shared.stores.objects import ObjectRefused, Objects
from shared.streams.stage import Done
from shared.verbs.sweep import sweep
from tests.support.catalogs import (
    FACE,
    RECIPE,
    failure,
    nothing_found,
    result_of,
    some_images,
    step_of,
)
from tests.support.logs import recorded
from tests.support.writers import Crash, PayloadsInMemory, keys_of, works


def keys_for(image: QueuedImage) -> PictureKeys:
    return PictureKeys(RECIPE.id, image.id)


def found(
    image: QueuedImage, payloads: PayloadsInMemory, faces: int, generation: int = 1
) -> ResultMessage:
    """A result with an annotated picture and a crop of each face."""
    return result_of(
        image,
        generation,
        faces=(FACE,) * faces,
        payload=payloads.add(b"highlighted"),
        crops=keys_for(image).crops(faces),
        crop_payloads=[payloads.add(b"face") for _ in range(faces)],
    )


async def redo(catalog: Catalog, submission: str = "8" * 32) -> None:
    await catalog.curator.redo(Redo(submission, "again", now(), Filter()))


@pytest.fixture
async def image(
    catalog: Catalog, writer: Writer, objects: Objects, payloads: PayloadsInMemory
) -> QueuedImage:
    """A picture with three faces, queued again; the store also has crops in their old form."""
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image]))
    await writer.handle(works([found(image, payloads, 3)]))
    await redo(catalog)
    for n in range(2):
        await objects.put(f"{keys_for(image).folder}-{n}.jpg", b"as message version 1 wrote it")
    await objects.put(PictureKeys(RECIPE.id, "f" * 32).annotated, b"of another picture")
    return image


async def test_crops_of_faces_that_are_no_longer_found_go(
    image: QueuedImage,
    writer: Writer,
    objects: Objects,
    payloads: PayloadsInMemory,
) -> None:
    assert await writer.handle(works([found(image, payloads, 1, generation=2)])) == [Done()]

    keys = keys_for(image)
    assert await keys_of(objects) == {
        keys.annotated,
        *keys.crops(1),
        PictureKeys(RECIPE.id, "f" * 32).annotated,
    }


@pytest.mark.parametrize("ending", [nothing_found, failure])
async def test_nothing_stays_of_a_picture_in_which_no_face_is_found_any_more(
    ending: Callable[[QueuedImage, int], ResultMessage],
    image: QueuedImage,
    writer: Writer,
    objects: Objects,
) -> None:
    assert await writer.handle(works([ending(image, 2)])) == [Done()]

    assert await keys_of(objects) == {PictureKeys(RECIPE.id, "f" * 32).annotated}


@pytest.mark.parametrize(
    "step", ["store_pictures", "delete_outdated", "commit_rows", "delete_orphans"]
)
async def test_dying_at_any_point_leaves_nothing_of_the_generation_before(
    step: str,
    image: QueuedImage,
    writer: Writer,
    catalog: Catalog,
    objects: Objects,
    payloads: PayloadsInMemory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    result = found(image, payloads, 1, generation=2)
    work = getattr(writer, step)

    async def die(*arguments: object) -> None:
        await work(*arguments)
        raise Crash

    with monkeypatch.context() as patch:
        patch.setattr(writer, step, die)
        with pytest.raises(Crash):
            await writer.handle(works([result]))

    assert await Writer.of(payloads, catalog, objects).handle(works([result])) == [Done()]
    keys = keys_for(image)
    assert await keys_of(objects) - {PictureKeys(RECIPE.id, "f" * 32).annotated} == {
        keys.annotated,
        *keys.crops(1),
    }


async def test_a_late_result_deletes_nothing_of_the_generation_after_it(
    image: QueuedImage,
    writer: Writer,
    catalog: Catalog,
    objects: Objects,
    payloads: PayloadsInMemory,
) -> None:
    second = found(image, payloads, 1, generation=2)
    await writer.handle(works([second]))
    await redo(catalog)
    third = keys_for(image).crops(2)[1]
    await objects.put(third, b"put by a detector, before its result arrives")

    assert await writer.handle(works([second])) == [Done()]

    assert await objects.exists(third)


async def test_a_store_that_does_not_delete_is_left_to_the_sweep_and_the_row_is_committed(
    image: QueuedImage,
    writer: Writer,
    catalog: Catalog,
    objects: Objects,
    payloads: PayloadsInMemory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    async def refuse(_: str) -> None:
        raise ObjectRefused("object store file:///kept refuses: 403 Forbidden")

    log = recorded(monkeypatch, "services.writer.outdated")
    with monkeypatch.context() as patch:
        patch.setattr(objects, "delete", refuse)
        outcomes = await writer.handle(works([found(image, payloads, 1, generation=2)]))

    assert outcomes == [Done()]

    (row,) = await catalog.reader.show(image.id)
    assert row.face_count == 1
    assert "until a sweep" in log.text
    assert image.id in log.text
    assert image.name not in log.text
    keys = keys_for(image)
    swept = [key async for key in sweep(catalog, objects, timedelta(0))]
    assert set(keys.crops(3)[1:]) <= set(swept)
    assert {keys.annotated, *keys.crops(1)} <= await keys_of(objects)


async def test_the_first_generation_looks_for_no_earlier_objects(
    writer: Writer,
    catalog: Catalog,
    objects: Objects,
    payloads: PayloadsInMemory,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image]))
    stray = keys_for(image).crops(3)[2]
    await objects.put(stray, b"of nobody")

    def never(*_: object) -> None:
        raise AssertionError("nothing is listed")

    with monkeypatch.context() as patch:
        patch.setattr(objects, "list", never)
        assert await writer.handle(works([found(image, payloads, 1)])) == [Done()]

    assert await objects.exists(stray)


async def test_a_late_result_replaces_no_picture_of_the_generation_after_it(
    image: QueuedImage,
    writer: Writer,
    catalog: Catalog,
    objects: Objects,
    payloads: PayloadsInMemory,
) -> None:
    late = result_of(image, 2, faces=(FACE,), payload=payloads.add(b"of the second"))
    await writer.handle(works([failure(image, 2)]))
    await redo(catalog, "9" * 32)
    newest = result_of(image, 3, faces=(FACE,), payload=payloads.add(b"of the third"))
    assert await writer.handle(works([newest])) == [Done()]

    assert await writer.handle(works([late])) == [Done()]

    assert await objects.get(keys_for(image).annotated) == b"of the third"
    (row,) = await catalog.reader.show(image.id)
    assert row.generation == 3
