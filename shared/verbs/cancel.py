"""Cancel: end a submission early. What it still has queued ends as failed."""

from dataclasses import dataclass

from shared.catalog import Catalog, SubmissionStatus


@dataclass(frozen=True)
class Cancelled:
    """How many images were `cancelled`, and how the submission stood before and stands after."""

    cancelled: int
    before: SubmissionStatus
    after: SubmissionStatus

    @property
    def was_over(self) -> bool:
        """It was complete already, so nothing was done."""
        return self.before.complete


async def cancel(catalog: Catalog, submission: str) -> Cancelled:
    """Cancel a submission by its whole id. Images that another submission named stay queued.

    Raises:
        FacesError: the catalog does not know it.
        Unreachable: the database does not answer.
    """
    before = await catalog.reader.submission(submission)
    number = 0 if before.complete else await catalog.curator.cancel(submission)
    return Cancelled(number, before, await catalog.reader.submission(submission))
