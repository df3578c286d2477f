"""Results are taken for rows that asked for them: what somebody added by hand changes nothing."""

from pathlib import Path

import pytest

from services.writer.batch import Result
from services.writer.service import Writer, failed
from shared.catalog import Catalog
from shared.errors import FacesError
from shared.messages import Payload, ResultMessage, SourceFailedMessage, Status
from shared.picture_keys import PictureKeys
from shared.reasons import Failure, Reason
from shared.settings import Settings
from shared.stores.objects import Objects
from shared.streams.dead import DeadLetters
from shared.streams.keys import DEAD, RESULTS
from shared.streams.stage import Dead, Done, Outcome
from shared.verbs.retry import Retried, retry
from tests.support.catalogs import RECIPE, failure, nothing_found, result_of, some_images, step_of
from tests.support.processes import writing
from tests.support.stages import Suite, suite_on
from tests.support.waiting import wait_until
from tests.support.writers import PayloadsInMemory, keys_of, works

ONE, TWO = "5" * 32, "6" * 32


def codes(outcomes: list[Outcome]) -> list[Reason | None]:
    """Why each became a dead letter; None of one that did not."""
    return [one.failure.reason if isinstance(one, Dead) else None for one in outcomes]


async def test_what_nobody_asked_for_is_a_dead_letter_and_nothing_of_it_is_stored(
    writer: Writer, catalog: Catalog, objects: Objects, payloads: PayloadsInMemory
) -> None:
    asked, forged, plain = some_images(3)
    await catalog.ledger.queue(step_of([asked]))
    kept = PictureKeys(RECIPE.id, forged.id).annotated
    await objects.put(kept, b"what a restored catalog does not know of")
    batch: list[Result] = [
        result_of(forged, payload=payloads.add(b"forged")),
        result_of(asked, payload=payloads.add(b"drawn")),
        failure(plain),
        SourceFailedMessage(submission=TWO, trace=ONE, recipe=RECIPE, part=0, reason="forged"),
    ]

    outcomes = list(await writer.handle(works(batch)))

    dead = Reason.NOT_ASKED_FOR
    assert codes(outcomes) == [dead, None, dead, dead]
    assert outcomes[1] == Done()
    assert await keys_of(objects) == {kept, PictureKeys(RECIPE.id, asked.id).annotated}
    assert await objects.get(kept) == b"what a restored catalog does not know of"
    assert await catalog.reader.show(forged.id) == await catalog.reader.show(plain.id) == []
    assert (await catalog.reader.submission(ONE)).with_faces == 1
    with pytest.raises(FacesError, match="knows no submission"):
        await catalog.reader.submission(TWO)
    assert isinstance(outcomes[0], Dead) and "FACES_TAKE_UNKNOWN_RESULTS" in str(outcomes[0])


async def test_nobody_is_told_of_the_end_of_what_nobody_asked_for() -> None:
    (forged,) = some_images(1)
    assert failed(result_of(forged), Failure(Reason.NOT_ASKED_FOR, "no row"), 1, "w") is None


async def test_by_an_operators_word_results_make_the_rows_that_a_backup_lacks(
    catalog: Catalog, objects: Objects, payloads: PayloadsInMemory
) -> None:
    (lost,) = some_images(1)
    writer = Writer.of(payloads, catalog, objects, take_unknown=True)
    told = SourceFailedMessage(submission=TWO, trace=ONE, recipe=RECIPE, part=0, reason="gone")

    outcomes = await writer.handle(works([result_of(lost, payload=payloads.add(b"drawn")), told]))

    assert outcomes == [Done(), Done()]
    (row,) = await catalog.reader.show(lost.id)
    assert row.status is Status.FACES
    assert len(await keys_of(objects)) == 1
    assert (await catalog.reader.submission(TWO)).refused == 1


async def test_results_without_pictures_of_their_own_cost_no_look_into_the_catalog(
    writer: Writer, catalog: Catalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = some_images(2)
    await catalog.ledger.queue(step_of(images))

    async def never(_keys: object) -> None:
        raise AssertionError("the commit tells it")

    monkeypatch.setattr(catalog.reader, "asked_for", never)
    batch = [nothing_found(images[0]), failure(images[1])]
    assert await writer.handle(works(batch)) == [Done(), Done()]


async def add(suite: Suite, result: ResultMessage, picture: bytes) -> Payload:
    """As somebody who may write to Redis does."""
    payload = Payload.of(picture)
    message = result.model_copy(update={"payload": payload})
    await suite.producer.add(message, {payload: picture})
    return payload


async def test_a_forged_result_waits_as_a_dead_letter_until_an_operator_takes_it(
    redis_url: str, tmp_path: Path
) -> None:
    database = f"sqlite:///{tmp_path}/faces.db"
    how = {"database_url": database, "objects_url": f"file://{tmp_path}/objects"}
    forged, asked = some_images(2)
    catalog = await Catalog.open(database)
    await catalog.ledger.queue(step_of([asked]))
    async with suite_on(redis_url, **how) as suite:

        async def settled() -> bool:
            return await suite.length(RESULTS) == 0

        letters = DeadLetters(suite.client, suite.settings)
        async with writing(suite):
            payload = await add(suite, result_of(forged), b"forged")
            await add(suite, result_of(asked), b"drawn")
            await wait_until(settled, "both have ended")
            assert await suite.length(DEAD) == 1
            (letter,) = [one async for one in letters.all(Reason.NOT_ASKED_FOR)]
            assert letter.payload_ids == (payload.id,) and not letter.bytes_gone
            assert await retry(letter, letters, catalog) is Retried.RETRIED
            await wait_until(settled, "it is no more asked for than before")
            assert await suite.length(DEAD) == 1
        before = letter.id
        (letter,) = [one async for one in letters.all(Reason.NOT_ASKED_FOR)]
        assert letter.id != before
        assert await retry(letter, letters, catalog) is Retried.RETRIED
        suite.settings = taking(suite.settings)
        async with writing(suite):
            await wait_until(settled, "an operator's word takes it")
        assert await suite.length(DEAD) == 0
    (row,) = await catalog.reader.show(forged.id)
    assert row.status is Status.FACES
    await catalog.close()


def taking(settings: Settings) -> Settings:
    """The same, with the operator's word."""
    return settings.model_copy(update={"take_unknown_results": True})
