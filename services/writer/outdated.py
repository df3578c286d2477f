"""Deleting what a picture that was done again no longer has: crops of faces, its annotated copy."""

from collections.abc import Sequence

import structlog

from shared.catalog import Catalog
from shared.messages import ResultMessage
from shared.stores.objects import ObjectRefused, Objects
from shared.together import each

LISTINGS_AT_ONCE = 16

Outcome = tuple[str, str, int]
"""What a result is of: image, recipe and generation."""

log = structlog.get_logger()


class Outdated:
    """Deletes objects of earlier generations. Doing it again changes nothing."""

    def __init__(self, catalog: Catalog, objects: Objects) -> None:
        self._catalog = catalog
        self._objects = objects

    async def delete(self, results: Sequence[ResultMessage]) -> None:
        """Delete the objects of each picture that its result does not name.

        Call it before the results are committed. As long as a row waits for the result of its
        generation, nothing of a later one can be in the store; and whatever cuts this off, the
        results come again. Results of the first generation cost nothing here.

        A store that refuses is told in the log, and a sweep deletes what was left.

        Raises:
            Unreachable: the database or the store does not answer.
        """
        again = [result for result in results if result.generation > 1]
        if not again:
            return
        try:
            keys = await self._keys(await self._awaited(again))
            await self._objects.delete_all(keys)
        except ObjectRefused as error:
            log.error(
                "objects of an earlier generation stay until a sweep",
                images=[result.id for result in again],
                reason=str(error),
            )

    async def late(self, results: Sequence[ResultMessage]) -> set[Outcome]:
        """Which results of later generations no row waits for any more.

        Their pictures must not be stored: they would replace those of a generation after them.
        Results of the first generation cost nothing here, and are not told to be late: where one
        comes behind its successor, the picture is the same but for what drew it.

        Raises:
            Unreachable: the database does not answer.
        """
        again = [result for result in results if result.generation > 1 and result.payloads]
        if not again:
            return set()
        return set(map(outcome_of, again)) - set(map(outcome_of, await self._awaited(again)))

    async def _awaited(self, results: Sequence[ResultMessage]) -> list[ResultMessage]:
        """Those that their rows still wait for, once each."""
        rows = await self._catalog.reader.objects_of([(one.id, one.recipe.id) for one in results])
        awaited: dict[tuple[str, str], ResultMessage] = {}
        for result in results:
            key = (result.id, result.recipe.id)
            row = rows.get(key)
            if row is not None and row.awaited and row.generation == result.generation:
                awaited.setdefault(key, result)
        return list(awaited.values())

    async def _keys(self, results: Sequence[ResultMessage]) -> set[str]:
        async def unnamed(result: ResultMessage) -> set[str]:
            found = await self._objects.keys_of(result.keys)
            pictures = {
                key for key in found if key in result.keys.all_annotated or result.keys.is_crop(key)
            }
            return pictures - {result.annotated, *result.crops}

        return set().union(*await each(unnamed, results, LISTINGS_AT_ONCE))


def outcome_of(result: ResultMessage) -> Outcome:
    """What a result is of."""
    return result.id, result.recipe.id, result.generation
