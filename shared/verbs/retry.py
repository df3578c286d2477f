"""Retry: put a dead letter back into its stream, under the generation that its row gets for it."""

from enum import StrEnum

from shared.catalog import Catalog
from shared.messages import ImageMessage, ResultMessage
from shared.reasons import Reason
from shared.streams.dead import DeadLetter, DeadLetters


class Retried(StrEnum):
    """What became of a dead letter."""

    RETRIED = "retried"
    GONE = "gone"
    UNDER_WAY = "under way"
    UNREADABLE = "unreadable"
    NO_ROW = "no row"
    BYTES_GONE = "bytes gone"


async def retry(letter: DeadLetter, letters: DeadLetters, catalog: Catalog) -> Retried:
    """Put one back at the end of its stream, with all its attempts before it.

    A letter that holds no message (`UNREADABLE`), whose picture has no row any more (`NO_ROW`), or
    that kept the only bytes and lost them (`BYTES_GONE`) stays where it is. A result that nobody
    asked for never had a row: it is put back as it is, for a writer that takes such ones.

    Raises:
        FacesError: the key of its stream holds something else.
        Unreachable: the database does not answer.
    """
    message = letter.message
    if message is None:
        return Retried.UNREADABLE
    if letter.bytes_gone:
        return Retried.BYTES_GONE
    if isinstance(message, ImageMessage | ResultMessage):
        generation = await catalog.curator.revive(message.id, message.recipe.id)
        if generation is not None:
            message = message.model_copy(update={"generation": generation})
        elif letter.code is not Reason.NOT_ASKED_FOR:
            return Retried.NO_ROW
    return Retried(await letters.retry(letter, message))
