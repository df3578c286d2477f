"""Moving pictures out of Redis into the object store, before the rows that name them."""

from collections.abc import Container, Sequence

import structlog

from services.writer import metrics
from services.writer.outdated import Outcome, outcome_of
from services.writer.payloads import ReadsPayloads, read_in_chunks
from shared.messages import Payload, ResultMessage
from shared.reasons import Failure, Reason
from shared.stores.objects import ObjectRefused, Objects
from shared.together import each

PUTS_AT_ONCE = 16

log = structlog.get_logger()


class Pictures:
    """Stores the pictures of results. Storing one again replaces it by the same bytes."""

    def __init__(self, payloads: ReadsPayloads, objects: Objects) -> None:
        self._payloads = payloads
        self._objects = objects
        self._stored: set[tuple[str, Payload]] = set()
        """Keys, and the payloads stored under them, of results that are not committed yet: while
        the database is away, the same results come again and again, and are stored only once."""

    async def store(
        self, results: Sequence[ResultMessage], late: Container[Outcome] = ()
    ) -> list[ResultMessage | ObjectRefused]:
        """Put every picture into the store, but those of `late` results; answers what to commit for
        each result.

        A result whose picture the store refuses is answered with the refusal. One whose picture
        was lost with Redis becomes a failed one: a row that says so can be found and done again,
        whereas a row without its picture would pass for complete.

        Raises:
            Unreachable: Redis or the store does not answer.
        """
        pending: dict[tuple[str, Payload], None] = {}
        for result in results:
            if outcome_of(result) in late:
                continue
            for key, payload in pictures_of(result):
                if (key, payload) not in self._stored:
                    pending[key, payload] = None
        lost: set[Payload] = set()
        refused: dict[Payload, ObjectRefused] = {}
        keys = iter([key for key, _ in pending])

        async def put(picture: tuple[str, Payload, bytes | None]) -> None:
            key, payload, content = picture
            if content is None:
                lost.add(payload)
                return
            try:
                await self._put(key, payload, content)
            except ObjectRefused as error:
                refused[payload] = error

        # A payload that several results name is stored for each: none must hide another's picture.
        async for chunk in read_in_chunks(self._payloads, [payload for _, payload in pending]):
            pictures = [(next(keys), payload, content) for payload, content in chunk]
            await each(put, pictures, PUTS_AT_ONCE)
            del pictures, chunk  # before the next ones are read
        return [_outcome(result, lost, refused) for result in results]

    def forget(self, results: Sequence[ResultMessage]) -> None:
        """These results are committed."""
        self._stored.difference_update(
            picture for result in results for picture in pictures_of(result)
        )

    async def _put(self, key: str, payload: Payload, content: bytes) -> None:
        await self._objects.put(key, content)
        self._stored.add((key, payload))
        metrics.OBJECTS.inc()
        metrics.OBJECT_BYTES.inc(len(content))


def pictures_of(result: ResultMessage) -> list[tuple[str, Payload]]:
    """Key and payload of each picture that still has to be stored."""
    crops = list(zip(result.crops, result.crop_payloads, strict=False))
    if result.payload is None:
        return crops
    return [(result.annotated or result.keys.annotated, result.payload), *crops]


def _outcome(
    result: ResultMessage, lost: set[Payload], refused: dict[Payload, ObjectRefused]
) -> ResultMessage | ObjectRefused:
    for payload in result.payloads:
        if payload in refused:
            return refused[payload]
    if any(payload in lost for payload in result.payloads):
        metrics.LOST.inc()
        log.warning("picture lost with Redis", image=result.id)
        return result.as_failed(Failure(Reason.PICTURE_LOST, Reason.PICTURE_LOST.meaning))
    if result.payload is not None and result.annotated is None:
        return result.model_copy(update={"annotated": result.keys.annotated})
    return result
