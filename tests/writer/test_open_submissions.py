"""The writer tells how many submissions stay open, and how old the oldest of them is."""

from services.writer.metrics import OLDEST_OPEN_SECONDS, OPEN_SUBMISSIONS
from services.writer.open_submissions import measure, measured
from shared.catalog import Catalog
from tests.support.catalogs import nothing_found, some_images, step_of
from tests.support.waiting import wait_until

ONE, TWO, THREE = "1" * 32, "2" * 32, "3" * 32


def told() -> tuple[float, bool]:
    """How many are open, and whether the oldest has an age."""
    return OPEN_SUBMISSIONS._value.get(), OLDEST_OPEN_SECONDS._value.get() > 0


async def test_open_is_what_lacks_images_or_sources(catalog: Catalog) -> None:
    await measure(catalog)
    assert told() == (0, False)
    images = some_images(2)
    await catalog.ledger.queue(step_of(images[:1], ONE))  # its end is still to come
    await catalog.ledger.queue(step_of(images[1:], TWO))
    await catalog.ledger.seal(TWO, 1)
    await catalog.ledger.seal(THREE, 0)  # complete at once
    await measure(catalog)
    assert told() == (2, True)
    await catalog.ledger.commit([nothing_found(one) for one in images])
    await measure(catalog)
    assert told() == (1, True)
    await catalog.curator.cancel(ONE)
    await measure(catalog)
    assert told() == (0, False)


async def test_it_is_told_as_long_as_the_writer_runs(catalog: Catalog) -> None:
    await catalog.ledger.queue(step_of(some_images(1), ONE))
    OPEN_SUBMISSIONS.set(0)
    async with measured(catalog):
        await wait_until(lambda: told() == (1, True), "it is told")
