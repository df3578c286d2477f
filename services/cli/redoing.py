"""Doing images again: the ledger queues them under a new generation, and they are handed on."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from shared.catalog import Catalog, Filter, Redo, Requeued
    from shared.messages import ImageMessage
    from shared.recipe import Recipe
    from shared.streams.producer import Producer


@dataclass(frozen=True)
class Redoing:
    """Which images; `recipe` of None: each under its own."""

    filter: "Filter"
    recipe: "Recipe | None" = None


@dataclass
class Redone:
    """`sent` were handed on, `under_way` were that already, `lost` nobody kept the bytes of."""

    sent: int = 0
    under_way: int = 0
    lost: int = 0

    def lines(self) -> list[str]:
        """What people should know beside how many were sent."""
        told = []
        if self.under_way:
            told.append(f"{self.under_way:,} were under way already")
        if self.lost:
            told.append(
                f"{self.lost:,} were left as they are: they had been sent along and nobody kept "
                "their bytes; submit them again from where they are"
            )
        return told


async def hand_on(
    request: "Redo",
    catalog: "Catalog",
    producer: "Producer",
    go_on: Callable[[], bool] = lambda: True,
) -> Redone:
    """Queue and send image after image as long as `go_on` says so; the submission is sealed.

    Cut off between the two, the rows stay queued: `faces submit --missing` finds those.
    """
    done = Redone()
    try:
        while go_on():
            step = await catalog.curator.redo(request)
            done.lost += step.unreachable
            for one in step.images:
                added = await producer.add(_message(one, request.submission))
                done.sent += added
                done.under_way += not added
            if step.after is None:
                break
            request = replace(request, after=step.after)
    finally:
        await catalog.ledger.seal(
            request.submission, 0, request.submission_name, request.submitted_at
        )
    return done


def _message(again: "Requeued", submission: str) -> "ImageMessage":
    from shared.messages import ImageMessage

    return ImageMessage.of(
        again.image, submission=submission, recipe=again.recipe, generation=again.generation
    )
