"""What happens to an entry whose attempt failed: put back for later, or a dead letter."""

import json
from dataclasses import dataclass
from typing import Literal

import structlog

from shared.backoff import backoff
from shared.messages import Message, now
from shared.reasons import Failure, Reason
from shared.settings import Settings
from shared.streams.entries import Delivery, weight_of
from shared.streams.intake import Membership
from shared.streams.keys import DEAD, RESULTS, Keys
from shared.streams.marks import Marks
from shared.streams.scripts import Scripts, Value

FIRST_DELAY_SECONDS = 1.0
REASON_LIMIT = 1000

log = structlog.get_logger()

Verdict = Literal["retry", "dead", "lost", "full", "wrong_type"]
_VERDICTS: dict[int, Verdict] = {1: "retry", 2: "dead", 0: "lost", -1: "full", -3: "wrong_type"}


@dataclass(frozen=True)
class Failed:
    """What the script decided; `delay` in seconds, where the entry was put back."""

    verdict: Verdict
    attempts: int = 0
    delay: float = 0.0


class FailedAttempts:
    """Ends failed attempts of one consumer."""

    def __init__(
        self,
        scripts: Scripts,
        keys: Keys,
        marks: Marks,
        membership: Membership,
        settings: Settings,
    ) -> None:
        self._scripts = scripts
        self._keys = keys
        self._marks = marks
        self._membership = membership
        self._settings = settings

    async def send(
        self,
        delivery: Delivery,
        failure: Failure,
        *,
        final: bool,
        message: Message | None,
        result: Message | None,
    ) -> Failed:
        """Record a failed attempt at `delivery`.

        Args:
            final: make it a dead letter at once, whatever attempts are left.
            message: what was read from the entry; None where it could not be read.
            result: what the writer is told if the entry becomes a dead letter.
        """
        reason = failure.sentence[:REASON_LIMIT]
        encoded = result.encode() if result else b""
        dead, results = self._marks.of_stream(DEAD), self._marks.of_stream(RESULTS)
        delays = self._delays_ms()
        arguments: list[Value] = [
            self._membership.group,
            self._membership.consumer,
            delivery.id,
            delivery.deliveries,
            delivery.weight,
            message.in_flight if message else "",
            dead.entries,
            dead.bytes,
            results.entries,
            results.bytes,
            self._attempt(failure.reason, reason),
            reason,
            failure.reason.value,
            0 if final else self._settings.max_attempts,
            delivery.encoded,
            encoded,
            weight_of(result, encoded) if result else 0,
            int(self._settings.lease_seconds * 1000),
            len(delays),
            *delays,
        ]
        code, *rest = await self._scripts.fail(keys=self._script_keys(), args=arguments)
        verdict = _VERDICTS[code]
        attempts = rest[0] if rest else 0
        delay = rest[1] / 1000 if verdict == "retry" else 0.0
        return Failed(verdict, attempts, delay)

    def _script_keys(self) -> list[Value]:
        return [
            self._membership.stream,
            self._keys.bytes,
            self._keys.in_flight,
            self._membership.history,
            self._keys.rate,
            self._keys.stream(DEAD),
            self._keys.stream(RESULTS),
        ]

    def _attempt(self, code: Reason, reason: str) -> str:
        """One line of an entry's history, as JSON."""
        return json.dumps(
            {
                "at": now().isoformat(timespec="milliseconds"),
                "consumer": self._membership.consumer,
                "reason": reason,
                "code": code.value,
            }
        )

    def _delays_ms(self) -> list[int]:
        """Delay after the first, second, ... failed attempt; never longer than a lease."""
        cap = self._settings.lease_seconds
        return [
            int(1000 * backoff(attempt, min(FIRST_DELAY_SECONDS, cap), cap))
            for attempt in range(1, self._settings.max_attempts)
        ] or [0]
