"""What happens to an entry whose attempt failed: put back for later, or a dead letter."""

import json
from contextlib import suppress

from redis.exceptions import RedisError

from shared.backoff import backoff
from shared.messages import Message, now
from shared.reasons import Failure, Reason
from shared.settings import Settings
from shared.streams.dead_bounds import DeadBounds
from shared.streams.entries import Delivery, Membership, weight_of
from shared.streams.high_water import HighWaterMarks
from shared.streams.keys import DEAD, RESULTS
from shared.streams.scripts import Answer, Scripts

FIRST_DELAY_SECONDS = 1.0

TIMEOUTS = 2
"""Attempts of what takes too long: a busy machine may be the reason once. Each costs the whole of
`FACES_TASK_TIMEOUT_SECONDS`, and what took all of it twice takes it again."""

REASON_LIMIT = 1000


class FailedAttempts:
    """Ends failed attempts of one consumer."""

    def __init__(
        self, scripts: Scripts, marks: HighWaterMarks, membership: Membership, settings: Settings
    ) -> None:
        self._scripts = scripts
        self._marks = marks
        self._membership = membership
        self._settings = settings
        self._bounds = DeadBounds(scripts.client, scripts.keys, marks.of_stream(DEAD))

    def delay(
        self, delivery: Delivery, *, final: bool, reason: Reason | None = None
    ) -> float | None:
        """Seconds until the next attempt; None where there is none.

        `reason` is why this one failed: a timeout ends the entry at its second attempt already.

        Never longer than a lease, whose end is what brings the entry back.
        """
        attempt = delivery.failed_attempts + 1
        most = self._settings.max_attempts
        if reason is Reason.TIMEOUT:
            most = min(most, TIMEOUTS)
        if final or attempt >= most:
            return None
        lease = self._settings.lease_seconds
        return backoff(attempt, min(FIRST_DELAY_SECONDS, lease), lease)

    async def send(
        self,
        delivery: Delivery,
        failure: Failure,
        delay: float | None,
        *,
        message: Message | None,
        result: Message | None,
    ) -> Answer:
        """Record a failed attempt at `delivery`: PUT_BACK, DEAD, or what prevents both.

        Args:
            delay: as `delay` gives it.
            message: what was read from the entry; None where it could not be read.
            result: what the writer is told if the entry becomes a dead letter.
        """
        sentence = failure.sentence[:REASON_LIMIT]
        encoded = result.encode() if result else b""
        idle = None if delay is None else self._settings.lease_seconds - delay
        answer = await self._scripts.fail(
            self._membership,
            delivery,
            in_flight=message.in_flight if message else "",
            attempt=self._attempt(failure, sentence),
            reason=(sentence, failure.reason.value),
            idle_ms=None if idle is None else max(0, int(1000 * idle)),
            result=(encoded, weight_of(result, encoded)) if result else None,
            marks=(self._marks.of_stream(DEAD), self._marks.of_stream(RESULTS)),
        )
        if answer is Answer.DEAD:
            with suppress(RedisError):  # whoever keeps its gauges does it soon
                await self._bounds.keep()
        return answer

    def _attempt(self, failure: Failure, sentence: str) -> str:
        """One line of an entry's history, as JSON."""
        return json.dumps(
            {
                "at": now().isoformat(timespec="milliseconds"),
                "consumer": self._membership.consumer,
                "reason": sentence,
                "code": failure.reason.value,
            }
        )
