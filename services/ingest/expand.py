"""Ingest as a function: from a source message to image messages, and to its own next step."""

import math
import random
import time
from collections import Counter, OrderedDict
from collections.abc import Sequence
from dataclasses import replace

import structlog
from redis.exceptions import RedisError

from services.ingest.metrics import PASSED_OVER
from services.ingest.sources.registry import Sources
from services.ingest.sources.source import FoundImage, Listing, SourceAway, SourceRefused
from services.ingest.sources.walk import LEADS_OUTSIDE, LINK_TO_PICTURE
from services.ingest.turns import Turns
from shared import fields
from shared.catalog import Decision, Expansion, Ledger, PassedOver
from shared.errors import Unreachable
from shared.messages import (
    ImageMessage,
    ResultMessage,
    SourceFailedMessage,
    SourceKind,
    SourceMessage,
    subject_of,
)
from shared.reasons import Failure
from shared.streams.away import Away
from shared.streams.later import WaitingSets
from shared.streams.refusals import describe
from shared.streams.stage import Done, Later, Outcome, Output, Work

LOOK_SECONDS = 1.0
"""How often it is looked how many images wait for a bucket."""

BOUND_SECONDS = (3.0, 6.0)
"""When a source is looked at again whose images may not be named now, spread."""

TURN_SECONDS = (0.5, 1.5)
"""When a source is looked at again that had no turn, spread."""

CROWD_A_SECOND = 100
"""How many of those that are turned away come again in a second: a tenth of what ingest can do."""

KNOWN = 1000
"""Submissions remembered to be known to the catalog: their next parts need not ask for it."""


COME_FIRST = "others of it come first"
AT_THE_BOUND = "as many of its pictures wait as may (FACES_HIGH_WATER)"

log = structlog.get_logger()


class Ingest:
    """Writes the rows of each step, then hands its images on."""

    def __init__(
        self, ledger: Ledger, sources: Sources, away: Away, images: WaitingSets, share: int
    ) -> None:
        """`images`: what was put off from the stream that sources are expanded into; `share`: most
        steps under way of what needs the same bucket or volume."""
        self._ledger = ledger
        self._sources = sources
        self._away = away
        self._images = images
        self._turns = Turns(share)
        self._below_the_bound_at: dict[str, float] = {}
        self._crowds: Counter[str] = Counter()
        self._known: OrderedDict[str, None] = OrderedDict()

    async def handle(self, works: Sequence[Work[SourceMessage]]) -> Sequence[Outcome]:
        """One step of each source.

        Rows are committed before the hand-off. A step that is repeated finds them queued and hands
        the same images on; those that are in flight already are not added twice.
        """
        return [await self._one(work.message) for work in works]

    async def _one(self, message: SourceMessage) -> Outcome:
        if message.kind is SourceKind.END:
            await self._seal(message)
            return Done()
        if not message.position:
            await self._make_known(message)
        try:
            listing = await self._step(message)
        except SourceRefused as refused:
            await self._fail(message, refused.failure)
            return Done()
        if isinstance(listing, Later):
            return listing
        decisions = await self._ledger.queue(_expansion(message, listing))
        for kind, passed in _passed_over(listing).items():
            PASSED_OVER.labels(kind).inc(passed.count)
        outputs = [
            Output(_image_message(message, found, decision))
            for found, decision in zip(listing.images, decisions, strict=True)
            if decision.send
        ]
        if listing.next_position is not None:
            following = message.model_copy(update={"position": listing.next_position})
            outputs.append(Output(following))
        return Done(tuple(outputs))

    async def _step(self, message: SourceMessage) -> Listing | Later:
        """The next step of a source; or, where what holds it cannot be used, when to try again."""
        source = self._sources.of(message)
        needed = source.needs(message)
        if not needed:
            return await source.step(message)
        if later := self._away.later(needed) or await self._at_the_bound(needed):
            return later
        async with self._turns.turn(needed) as is_ours:
            if not is_ours:
                return self._away.later(needed) or self._turned_away(needed)
            try:
                listing = await source.step(message)
            except SourceAway as away:
                return self._away.report(away.key, str(away), away.ask)
            self._crowds.pop(needed, None)
            return listing

    def _turned_away(self, needed: str) -> Later:
        """The more are turned away, the later they come again: they must not crowd out others."""
        self._crowds[needed] += 1
        least, most = TURN_SECONDS
        return _later(needed, COME_FIRST, (least, max(most, self._crowds[needed] / CROWD_A_SECOND)))

    async def _at_the_bound(self, needed: str) -> Later | None:
        """Where as many images wait for a bucket as may, no more of it are named."""
        moment = time.monotonic()
        if moment - self._below_the_bound_at.get(needed, -math.inf) < LOOK_SECONDS:
            return None
        try:
            if not await self._images.is_full(needed):
                self._below_the_bound_at[needed] = moment
                return None
        except RedisError as error:
            raise Unreachable(describe(error)) from None
        return _later(needed, AT_THE_BOUND, BOUND_SECONDS)

    async def _fail(self, message: SourceMessage, failure: Failure) -> None:
        """End a part that cannot be expanded; its submission goes on to its end."""
        log.warning(  # without the sentence: that names files
            "source refused",
            submission=message.submission,
            part=message.part,
            reason=failure.reason.value,
        )
        await self._ledger.fail_part(
            message.submission, message.part, message.uri, failure.sentence
        )

    async def _seal(self, message: SourceMessage) -> None:
        await self._open(message)
        await self._ledger.seal(message.submission, message.part)

    async def _make_known(self, message: SourceMessage) -> None:
        """Whatever becomes of its sources: that one failed is only taken of a known submission."""
        if message.submission not in self._known:
            await self._open(message)
            self._known[message.submission] = None
            while len(self._known) > KNOWN:
                self._known.popitem(last=False)

    async def _open(self, message: SourceMessage) -> None:
        await self._ledger.open_submission(
            message.submission, message.submission_name, message.submitted_at, None
        )


def _later(needed: str, reason: str, seconds: tuple[float, float]) -> Later:
    return Later(random.uniform(*seconds), needed, reason)  # noqa: S311 - spreads, hides nothing


def _passed_over(found: Listing) -> dict[str, PassedOver]:
    """What a step passed over, and the links to pictures that lead out of what may be read; each of
    those has a failed row as well."""
    links = sum(one.problem is LEADS_OUTSIDE for one in found.images)
    to_pictures = {LINK_TO_PICTURE: PassedOver(links)} if links else {}
    return dict(found.passed_over) | to_pictures


def _expansion(message: SourceMessage, found: Listing) -> Expansion:
    return Expansion(
        submission=message.submission,
        submission_name=message.submission_name,
        submitted_at=message.submitted_at,
        part=message.part,
        uri=message.uri,
        recipe=message.recipe,
        position=message.position,
        next_position=found.next_position,
        images=found.images,
        passed_over=_passed_over(found),
    )


def _image_message(
    message: SourceMessage, found: FoundImage, decision: Decision
) -> ImageMessage | ResultMessage:
    """An image to be searched; or, where it cannot be read, the end of it."""
    if decision.image is not None:
        found = replace(found, id=decision.image)
    subject = subject_of(
        found,
        submission=message.submission,
        recipe=message.recipe,
        generation=decision.generation,
        trace=message.trace,
    )
    if found.problem:
        return ResultMessage.failed(subject, found.problem)
    return ImageMessage(**subject, source_version=found.source_version, payload=found.payload)


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
        reason=f"{failure.sentence} (after {attempts} attempts, last by {consumer})"[
            : fields.SHORT_TEXT_LIMIT
        ],
        code=failure.reason,
    )
