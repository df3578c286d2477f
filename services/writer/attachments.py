"""Taking in what travels beside a result because a message cannot hold it: thousands of faces."""

import asyncio
from collections.abc import Mapping, Sequence

import structlog

from services.writer import metrics
from services.writer.payloads import ReadsPayloads, read_in_chunks
from shared.errors import InvalidMessage
from shared.messages import AttachmentKind, Face, Payload, ResultMessage, unpack_faces
from shared.reasons import Failure, Reason

BYTES_AT_ONCE = 4 << 20
"""Attachments unpacked at a time: faces take ten times as much in memory."""

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
        attached = {one.payload: one.kind for result in results for one in result.attachments}
        if not attached:
            return list(results)
        read = await self._read(attached)
        return [_taken_in(result, read) for result in results]

    async def _read(
        self, attached: Mapping[Payload, AttachmentKind]
    ) -> dict[Payload, "tuple[Face, ...] | Failure"]:
        """What each payload holds."""
        read: dict[Payload, tuple[Face, ...] | Failure] = {}
        async for chunk in read_in_chunks(self._payloads, list(attached)):
            for payload, content in chunk:
                read[payload] = _unpacked(attached[payload], content)
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
    result: ResultMessage, read: Mapping[Payload, "tuple[Face, ...] | Failure"]
) -> ResultMessage:
    for attachment in result.attachments:
        faces = read[attachment.payload]
        if isinstance(faces, Failure):
            if faces.reason is Reason.PICTURE_LOST:
                metrics.LOST.inc()
            log.warning("attachment not usable", image=result.id, reason=faces.reason.value)
            return result.as_failed(faces)
        result = result.model_copy(update={"faces": faces, "attachments": ()})
    return result
