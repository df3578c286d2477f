"""The function that ingest is: a source message to image messages, and its next step."""

from collections.abc import Mapping, Sequence

import structlog

from services.ingest.sources.source import FoundImage, Source, SourceRefused, Step
from shared.catalog import Catalog, Decision, QueuedImage
from shared.catalog import Step as LedgerStep
from shared.messages import (
    ImageMessage,
    ResultMessage,
    SourceFailedMessage,
    SourceKind,
    SourceMessage,
    Status,
)
from shared.reasons import Failure, Reason
from shared.streams.outcome import Done, Outcome, Output, Work

log = structlog.get_logger()


class Ingest:
    """Writes the rows of each step, then hands its images on."""

    def __init__(self, catalog: Catalog, sources: Mapping[SourceKind, Source]) -> None:
        self._catalog = catalog
        self._sources = sources

    async def handle(self, works: Sequence[Work[SourceMessage]]) -> Sequence[Outcome]:
        """One step of each source.

        Rows are committed before the hand-off: a step that is repeated finds them queued and
        hands the same images on, and those that are under way already are not added twice.
        """
        return [await self._one(work.message) for work in works]

    async def _one(self, message: SourceMessage) -> Outcome:
        if message.kind is SourceKind.END:
            await self._seal(message)
            return Done()
        try:
            step = await self._sources[message.kind].step(message)
        except SourceRefused as refused:
            log.warning("source refused", submission=message.submission, reason=str(refused))
            await self._open(message)
            await self._catalog.fail_part(
                message.submission, message.part, message.uri, str(refused)
            )
            return Done()
        decisions = await self._catalog.queue(_ledger_step(message, step))
        outputs = [
            Output(_image_message(message, found, decision))
            for found, decision in zip(step.images, decisions, strict=True)
            if decision.send
        ]
        if step.next_position is not None:
            following = message.model_copy(update={"position": step.next_position})
            outputs.append(Output(following))
        return Done(tuple(outputs))

    async def _seal(self, message: SourceMessage) -> None:
        await self._open(message)
        await self._catalog.seal(message.submission, message.part)

    async def _open(self, message: SourceMessage) -> None:
        await self._catalog.open_submission(
            message.submission, message.submission_name, message.submitted_at, None
        )


def _ledger_step(message: SourceMessage, step: Step) -> LedgerStep:
    return LedgerStep(
        submission=message.submission,
        submission_name=message.submission_name,
        submitted_at=message.submitted_at,
        part=message.part,
        uri=message.uri,
        recipe=message.recipe,
        position=message.position,
        next_position=step.next_position,
        images=[
            QueuedImage(
                id=found.id,
                name=found.name,
                source_uri=found.uri,
                source_version=found.version,
                bytes=found.size,
            )
            for found in step.images
        ],
    )


def _image_message(
    message: SourceMessage, found: FoundImage, decision: Decision
) -> ImageMessage | ResultMessage:
    """An image to be searched; or, where it cannot be read, the end of it."""
    if found.problem:
        return ResultMessage(
            submission=message.submission,
            trace=message.trace,
            recipe=message.recipe,
            id=found.id,
            generation=decision.generation,
            name=found.name,
            source_uri=found.uri,
            status=Status.FAILED,
            reason=found.problem,
            code=Reason.UNREADABLE,
            attempts=0,
        )
    return ImageMessage(
        submission=message.submission,
        trace=message.trace,
        recipe=message.recipe,
        id=found.id,
        generation=decision.generation,
        name=found.name,
        source_uri=found.uri,
        source_version=found.version,
        payload=found.payload,
    )


def failed(
    message: SourceMessage, failure: Failure, attempts: int, consumer: str
) -> SourceFailedMessage:
    """What the writer is told of a source that became a dead letter."""
    return SourceFailedMessage(
        submission=message.submission,
        trace=message.trace,
        recipe=message.recipe,
        part=message.part,
        uri=message.uri,
        reason=f"{failure.sentence} (after {attempts} attempts, last by {consumer})"[:1000],
        code=failure.reason,
    )
