"""Taking in what travels beside a result because a message cannot hold it: thousands of faces."""

import asyncio
from collections.abc import Sequence

import structlog

from services.writer import metrics
from services.writer.payloads import ReadsPayloads, read_in_chunks
from shared.errors import InvalidMessage
from shared.messages import Attachment, AttachmentKind, Face, ResultMessage, unpack_faces
from shared.reasons import Failure, Reason

log = structlog.get_logger()


class Attachments:
    """Reads the attachments of results. Reading them again changes nothing."""

    def __init__(self, payloads: ReadsPayloads) -> None:
        self._payloads = payloads

    async def take_in(self, results: Sequence[ResultMessage]) -> list[ResultMessage]:
        """Each result as if its faces had been in the message; those without any are unchanged.

        A result whose attachment was lost with Redis, or is not what it says, becomes a failed
        one: without its faces its row would pass for a picture that nobody is in.

        Raises:
            Unreachable: Redis does not answer.
        """
        attached = [one for result in results for one in result.attachments]
        if not attached:
            return list(results)
        read = await self._read(attached)
        return [_taken_in(result, read) for result in results]

    async def _read(
        self, attached: Sequence[Attachment]
    ) -> dict[str, "tuple[Face, ...] | Failure"]:
        """What each payload holds, by its id."""
        read: dict[str, tuple[Face, ...] | Failure] = {}
        kinds = {one.payload.id: one.kind for one in attached}
        async for chunk in read_in_chunks(self._payloads, [one.payload for one in attached]):
            for payload, content in chunk:
                read[payload.id] = _unpacked(kinds[payload.id], content)
                await asyncio.sleep(0)  # thousands of faces take milliseconds: others get a turn
        return read


def _unpacked(kind: AttachmentKind, content: bytes | None) -> tuple[Face, ...] | Failure:
    if content is None:
        return Failure(Reason.PICTURE_LOST, Reason.PICTURE_LOST.meaning)
    match kind:
        case AttachmentKind.FACES:
            try:
                return unpack_faces(content)
            except InvalidMessage as error:
                return Failure(Reason.INVALID_MESSAGE, str(error))


def _taken_in(
    result: ResultMessage, read: dict[str, "tuple[Face, ...] | Failure"]
) -> ResultMessage:
    for attachment in result.attachments:
        faces = read[attachment.payload.id]
        if isinstance(faces, Failure):
            if faces.reason is Reason.PICTURE_LOST:
                metrics.LOST.inc()
            log.warning("attachment not usable", image=result.id, reason=faces.reason.value)
            return result.as_failed(faces)
        result = result.model_copy(update={"faces": faces, "attachments": ()})
    return result
