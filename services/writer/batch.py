"""Committing a batch of results; where the database refuses it, finding the result at fault."""

from collections.abc import Sequence

import structlog

from services.writer import metrics
from shared.catalog import CommitReport, Ledger, Refused
from shared.messages import ResultMessage, SourceFailedMessage, Status
from shared.reasons import Failure, Reason
from shared.stores.objects import Objects
from shared.streams.stage import Dead, Done, Outcome

log = structlog.get_logger()

Result = ResultMessage | SourceFailedMessage


class Committer:
    """Commits results to the catalog; collects the keys of objects that no row names."""

    def __init__(self, ledger: Ledger, objects: Objects, *, take_unknown: bool) -> None:
        """`take_unknown`: as of `Ledger.commit`."""
        self._ledger = ledger
        self._objects = objects
        self._take_unknown = take_unknown

    async def commit(self, batch: Sequence[Result], orphans: set[str]) -> list[Outcome]:
        """Commit a batch in one transaction; if that is refused, each half in one of its own.

        So the neighbours of a culprit are committed, after at most 2 log2(n) + 1 more attempts
        for each culprit. The culprit ends as a failed row with the reason; if that is refused too,
        as a dead letter. So does what nobody asked for; nothing of it is written.

        Raises:
            Unreachable: the database does not answer. Results that were committed before then
                are late when they come again, and change nothing.
        """
        if not batch:
            return []
        try:
            return await self._once(batch, orphans)
        except Refused as refusal:
            if len(batch) == 1:
                return [await self._end_culprit(batch[0], refusal, orphans)]
            middle = len(batch) // 2
            return [
                *await self.commit(batch[:middle], orphans),
                *await self.commit(batch[middle:], orphans),
            ]

    async def _once(self, batch: Sequence[Result], orphans: set[str]) -> list[Outcome]:
        results = [one for one in batch if isinstance(one, ResultMessage)]
        failures = [one for one in batch if isinstance(one, SourceFailedMessage)]
        with metrics.COMMIT_SECONDS.time():
            report = await self._ledger.commit(
                results, failures, self._objects.uri, take_unknown=self._take_unknown
            )
        for status, count in report.won_by_status.items():
            metrics.ROWS.labels(status).inc(count)
        metrics.LATE.inc(report.late)
        orphans.update(report.orphans)
        outcomes: list[Outcome] = [
            not_asked_for(one) if _unknown(one, report) else Done() for one in batch
        ]
        for one, outcome in zip(batch, outcomes, strict=True):
            if (
                isinstance(one, ResultMessage)
                and one.status is Status.FAILED
                and isinstance(outcome, Done)
            ):  # the log is where people look for one picture
                log.info("picture failed", **one.about, code=one.code)
        return outcomes

    async def _end_culprit(self, culprit: Result, refusal: Refused, orphans: set[str]) -> Outcome:
        metrics.REFUSED.inc()
        # Without the database's words, which may quote a name: the row or the dead letter has them.
        log.error("the database refuses a result", **culprit.about)
        if isinstance(culprit, SourceFailedMessage):
            return Dead(str(refusal), Reason.DATABASE_REFUSED)
        try:
            failure = Failure(Reason.DATABASE_REFUSED, str(refusal))
            (outcome,) = await self._once([culprit.as_failed(failure)], orphans)
        except Refused as again:
            return Dead(str(again), Reason.DATABASE_REFUSED)
        return outcome


def _unknown(one: Result, report: CommitReport) -> bool:
    """Whether nobody asked for this."""
    if isinstance(one, SourceFailedMessage):
        return one.submission in report.unknown_submissions
    return (one.id, one.recipe.id) in report.unknown


def not_asked_for(one: Result) -> Dead:
    """The end of a message that nobody asked for; counted."""
    metrics.NOT_ASKED_FOR.inc()
    what = "submission" if isinstance(one, SourceFailedMessage) else "picture"
    return Dead(
        f"the catalog has no row that asked for this {what}; if a backup was restored, set "
        "FACES_TAKE_UNKNOWN_RESULTS=true for the writer, then `faces dead retry --reason "
        f"{Reason.NOT_ASKED_FOR}`",
        Reason.NOT_ASKED_FOR,
    )
