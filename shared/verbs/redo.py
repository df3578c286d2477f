"""Redo: search pictures again. The ledger queues them anew, and each is handed to the detectors."""

from collections.abc import Callable
from dataclasses import dataclass, replace

from shared.catalog import Catalog, Redo, Requeued
from shared.messages import ImageMessage
from shared.streams.producer import Producer


@dataclass
class Redone:
    """How many pictures were `sent`, were `under_way` already, and were `lost`: nobody has their
    bytes, so their rows were left as they are."""

    sent: int = 0
    under_way: int = 0
    lost: int = 0


async def redo(
    request: Redo,
    catalog: Catalog,
    producer: Producer,
    go_on: Callable[[], bool] = lambda: True,
) -> Redone:
    """Queue and send a filter's pictures as long as `go_on` says so; then seal their submission.

    If this is cut off between the two, the rows stay queued, and `resend` finds them.

    Raises:
        Unreachable: the database or Redis does not answer.
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


def _message(one: Requeued, submission: str) -> ImageMessage:
    return ImageMessage.of(
        one.image, submission=submission, recipe=one.recipe, generation=one.generation
    )
