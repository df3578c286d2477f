"""Committing a batch of results; where the database refuses it, finding the result at fault."""

from collections.abc import Sequence

import structlog

from services.writer import metrics
from shared.catalog import Ledger, Refused
from shared.messages import ResultMessage, SourceFailedMessage, Status
from shared.reasons import Failure, Reason
from shared.stores.objects import Objects
from shared.streams.stage import Dead, Done, Outcome

log = structlog.get_logger()

Result = ResultMessage | SourceFailedMessage


class Committer:
    """Commits results to the catalog; collects the keys of objects that no row names."""

    def __init__(self, ledger: Ledger, objects: Objects) -> None:
        self._ledger = ledger
        self._objects = objects

    async def commit(self, batch: Sequence[Result], orphans: set[str]) -> list[Outcome]:
        """Commit a batch in one transaction; if that is refused, each half in one of its own.

        So the neighbours of a culprit are committed, after at most 2 log2(n) + 1 more attempts
        for each culprit. The culprit ends as a failed row with the reason; if that is refused too,
        as a dead letter.

        Raises:
            Unreachable: the database does not answer. Results that were committed before then
                are late when they come again, and change nothing.
        """
        if not batch:
            return []
        try:
            await self._once(batch, orphans)
        except Refused as refusal:
            if len(batch) == 1:
                return [await self._end_culprit(batch[0], refusal, orphans)]
            middle = len(batch) // 2
            return [
                *await self.commit(batch[:middle], orphans),
                *await self.commit(batch[middle:], orphans),
            ]
        return [Done() for _ in batch]

    async def _once(self, batch: Sequence[Result], orphans: set[str]) -> None:
        results = [one for one in batch if isinstance(one, ResultMessage)]
        failures = [one for one in batch if isinstance(one, SourceFailedMessage)]
        with metrics.COMMIT_SECONDS.time():
            report = await self._ledger.commit(results, failures, self._objects.uri)
        for status, count in report.won_by_status.items():
            metrics.ROWS.labels(status).inc(count)
        metrics.LATE.inc(report.late)
        orphans.update(report.orphans)
        for one in results:
            if one.status is Status.FAILED:  # the log is where people look for one picture
                log.info("picture failed", **one.about, code=one.code)

    async def _end_culprit(self, culprit: Result, refusal: Refused, orphans: set[str]) -> Outcome:
        metrics.REFUSED.inc()
        # Without the database's words, which may quote a name: the row or the dead letter has them.
        log.error("the database refuses a result", **culprit.about)
        if isinstance(culprit, SourceFailedMessage):
            return Dead(str(refusal), Reason.DATABASE_REFUSED)
        try:
            failure = Failure(Reason.DATABASE_REFUSED, str(refusal))
            await self._once([culprit.as_failed(failure)], orphans)
        except Refused as again:
            return Dead(str(again), Reason.DATABASE_REFUSED)
        return Done()
