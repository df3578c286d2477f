"""What the detector is: a function from an image message to its result, through a slot."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import cache

from services.detector import metrics
from services.detector.contents import Contents
from services.detector.failures import Refused, TryAgain
from services.detector.keeping import Keeping
from services.detector.pipe import Reply, Request
from services.detector.process import SlotAnswer, SlotCrashed
from services.detector.put_off import PutOff
from services.detector.references import Opened
from services.detector.roots import Roots
from services.detector.slots import Slots
from shared import fields
from shared.messages import (
    FACES_IN_MESSAGE,
    Attachment,
    AttachmentKind,
    ImageMessage,
    Payload,
    ResultMessage,
    Status,
    pack_faces,
)
from shared.reasons import Failure, Reason
from shared.recipe import DRAWING_VERSION
from shared.settings import Settings
from shared.stores.objects import ObjectRefused
from shared.streams.high_water import UNLIMITED
from shared.streams.stage import Done, Outcome, Output, Retry, Work

CANNOT_BE_READ = {Reason.GONE, Reason.UNREADABLE}
"""What a slot says of a file that its folder may be at fault for."""

Largest = Callable[[int], Awaitable[int]]
"""Bytes that one result may bring through Redis, where it has so many; raises `Unreachable`."""


async def unlimited(_: int) -> int:
    """Of a Redis without a limit."""
    return UNLIMITED


class Detector:
    """Handles image messages: gets the bytes, asks a slot, tells what became of it.

    This process opens files by reference, decodes no picture and reads no file: its children do.
    (Of one that they could read it may read a byte, to see whether its volume still answers.)
    """

    def __init__(
        self,
        slots: Slots,
        contents: Contents,
        roots: Roots,
        settings: Settings,
        keeping: Keeping | None = None,
        largest: Largest = unlimited,
    ) -> None:
        """`keeping` puts pictures into the object store; without it the writer does, and `largest`
        says how many bytes of them Redis can ever take with one result."""
        self._slots = slots
        self._contents = contents
        self._roots = roots
        self._keeping = keeping
        self._inline_limit = settings.inline_limit_bytes
        self._largest = largest

    async def handle(self, works: Sequence[Work[ImageMessage]]) -> list[Outcome]:
        """One outcome a message; errors as `shared.streams.stage.Handler`."""
        if len(works) == 1:
            return [await self._one(works[0])]
        return list(await asyncio.gather(*map(self._one, works)))

    async def _one(self, work: Work[ImageMessage]) -> Outcome:
        try:
            answer = await self._answer(work.message)
        except PutOff as put_off:
            return put_off.later
        except Refused as refused:
            result = failed(work.message, refused.failure, work.attempt, work.consumer)
            return Done((Output(result),))
        except (TryAgain, SlotCrashed) as again:
            return Retry(str(again)[: fields.SHORT_TEXT_LIMIT], again.reason)
        if answer.reply.kind == "done":
            return await self._done(work, answer)
        return Retry(answer.reply.reason, Reason.of(answer.reply.code or ""))

    async def _answer(self, message: ImageMessage) -> SlotAnswer:
        """What a slot says of a picture; its bytes are held no longer than that.

        Raises:
            Refused, TryAgain, SlotCrashed: this attempt failed.
            PutOff: what the picture is in does not answer.
        """
        answer, below = await self._asked(message)
        if below and answer.reply.code in CANNOT_BE_READ:
            await self._roots.judge(below)
            # What could not be read in an outage that has just ended is nobody's fault either.
            answer, below = await self._asked(message)
        if below and answer.reply.size:
            self._roots.read(message.source_uri or "")
        return answer

    async def _asked(self, message: ImageMessage) -> tuple[SlotAnswer, str]:
        """What a slot says, and the allowed folder of the file that it read ('' where there is
        none); PutOff also where it took too long because of that folder."""
        async with self._contents.of(message) as content:
            if not isinstance(content, Opened):
                return await self._slots.ask(Request(recipe=message.recipe), content), ""
            request = Request(recipe=message.recipe, handed=True, version=message.source_version)
            try:
                return await self._slots.ask(request, content), content.below
            except SlotCrashed as crashed:
                if crashed.cause == "timeout":
                    await self._roots.judge(content.below)
                raise

    async def _done(self, work: Work[ImageMessage], answer: SlotAnswer) -> Outcome:
        """The result, with its pictures; or after they were put, where the writer does not."""
        if self._keeping is None:
            size = sum(map(len, answer.pictures))
            return Done((self._output(work, answer, await self._largest(size)),))
        try:
            await self._keeping.put(work.message.keys, answer.reply, answer.pictures)
        except ObjectRefused as refused:
            return Retry(str(refused)[: fields.SHORT_TEXT_LIMIT], Reason.STORE_REFUSED)
        return Done((self._output(work, SlotAnswer(answer.reply, ())),))

    def _output(
        self, work: Work[ImageMessage], answer: SlotAnswer, most: int = UNLIMITED
    ) -> Output:
        """The result, with its pictures as payloads, of which Redis takes `most` bytes."""
        reply = answer.reply
        sizes = [len(picture) for picture in answer.pictures]
        sentence = ""
        if max(sizes, default=0) > self._inline_limit:
            sentence = (
                f"one of its pictures has {max(sizes):,} bytes; FACES_INLINE_LIMIT_BYTES "
                f"allows {self._inline_limit:,} through Redis"
            )
        elif sum(sizes) > most:
            sentence = (
                f"its annotated picture and crops have {sum(sizes):,} bytes, and Redis takes at "
                f"most {most:,} at once, half of its maxmemory"
            )
        if sentence:
            sentence += " (FACES_PICTURES_BY=detector sends none through Redis)"
            refused = _refused(reply, Failure(Reason.TOO_LARGE, sentence))
            _count(refused)
            return Output(_result(work, refused))
        _count(reply)
        pictures = {Payload.of(picture): picture for picture in answer.pictures}
        if len(reply.faces) <= FACES_IN_MESSAGE:
            return Output(_result(work, reply, list(pictures)), pictures)
        packed = pack_faces(reply.faces)
        attached = Attachment(kind=AttachmentKind.FACES, payload=Payload.of(packed))
        result = _result(work, reply, list(pictures), attached)
        return Output(result, pictures | {attached.payload: packed})


def _count(reply: Reply) -> None:
    _IMAGES[reply.status].inc()
    if reply.status is Status.FAILED:
        _failed_images(Reason.of(reply.code or "")).inc()
    metrics.FACES.inc(len(reply.faces))
    for step, ms in reply.steps_ms.items():
        _step_seconds(step).observe(ms / 1000)


_IMAGES = {
    status: metrics.IMAGES.labels(status.value)
    for status in (Status.FACES, Status.NO_FACES, Status.FAILED)
}
# To look up a label takes as long as the rest.
_step_seconds = cache(metrics.STEP_SECONDS.labels)
_failed_images = cache(metrics.FAILED_IMAGES.labels)


def _refused(reply: Reply, failure: Failure) -> Reply:
    """The reply of an image that fails after all; what it told of the file is kept."""
    kept = {"size", "width", "height", "format", "taken", "media", "pages", "total_ms"}
    told = reply.model_dump(include=kept)
    return Reply(kind="done", reason=failure.sentence, code=failure.reason, **told)


def _result(
    work: Work[ImageMessage],
    reply: Reply,
    payloads: Sequence[Payload] = (),
    attached: Attachment | None = None,
) -> ResultMessage:
    """The result; `attached` holds its faces where they are too many for a message."""
    message = work.message
    annotated = payloads[0] if payloads and reply.annotated else None
    return ResultMessage(
        **message.subject,
        status=reply.status,
        reason=reply.reason,
        code=Reason.of(reply.code or "") if reply.status is Status.FAILED else None,
        bytes=reply.size,
        width=reply.width or None,
        height=reply.height or None,
        format=reply.format,
        **reply.taken.model_dump(),
        kind=reply.media,
        pages=reply.pages,
        searched=reply.searched,
        cut=reply.cut,
        faces=() if attached else reply.faces,
        annotated=message.keys.annotated_as(reply.suffix) if reply.annotated else None,
        annotated_page=reply.annotated_page,
        drawing=DRAWING_VERSION if reply.annotated else None,
        crops=message.keys.crops(reply.crops),
        payload=annotated,
        crop_payloads=tuple(payloads[1:] if annotated else payloads),
        attachments=(attached,) if attached else (),
        consumer=work.consumer,
        attempts=work.attempt,
        detect_ms=reply.total_ms,
    )


def failed(message: ImageMessage, failure: Failure, attempts: int, consumer: str) -> ResultMessage:
    """What the writer is told of an image whose message became a dead letter."""
    _failed_images(failure.reason).inc()
    return ResultMessage.failed(message.subject, failure, attempts=attempts, consumer=consumer)
