"""How long it took from the mending of each outage to the next committed row."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median

from tests.chaos.acts.act import Act
from tests.chaos.ledger import Ledger
from tests.chaos.suite import Way

PATIENCE = 4.0
"""A recovery is waited for so many times its limit, to say how long it really took."""

POLL_SECONDS = 0.1


@dataclass(frozen=True)
class Recovery:
    """One outage that was mended.

    Attributes:
        act: its name.
        waited: pictures that waited when it was mended: sent, and not ended.
        seconds: to the next committed row; None if nothing waited, or none came.
        limit: seconds that were allowed.
    """

    act: str
    waited: int
    seconds: float | None
    limit: float

    @property
    def late(self) -> bool:
        """Whether work did not go on in time."""
        return self.waited > 0 and (self.seconds is None or self.seconds > self.limit)


async def watch(
    act: Act, ledger: Ledger, sent: Callable[[Way | None], int], broken_at: float
) -> Recovery:
    """Call this at once when an outage is mended; returns when work goes on.

    Args:
        sent: how many pictures were sent until now, by one way or by all.
        broken_at: when it was broken, by the monotonic clock.
    """
    mended_at, since = time.monotonic(), datetime.now(UTC)
    of_bucket = act.way is Way.BUCKET
    progress = await ledger.progress(since, of_bucket=of_bucket)
    waited = sent(act.way) - progress.ended
    began = broken_at if act.from_the_break else mended_at
    seconds: float | None = None
    while waited > 0 and time.monotonic() - mended_at < PATIENCE * act.limit:
        if progress.committed_since:
            seconds = time.monotonic() - began
            break
        await asyncio.sleep(POLL_SECONDS)
        progress = await ledger.progress(since, of_bucket=of_bucket)
    return Recovery(act.name, waited, seconds, act.limit)


def table(recoveries: Sequence[Recovery]) -> str:
    """By act: how many there were, and their median and worst."""
    lines = [
        "| outage | times | least waiting | median | worst | limit |",
        "| --- | ---: | ---: | ---: | ---: | ---: |",
    ]
    for act in dict.fromkeys(one.act for one in recoveries):
        ours = [one for one in recoveries if one.act == act]
        lines.append(
            f"| {act} | {len(ours)} | {min(one.waited for one in ours)} | "
            f"{_seconds(ours, median)} | {_seconds(ours, max)} | {ours[0].limit:.0f} s |"
        )
    return "\n".join(lines)


def _seconds(ours: Sequence[Recovery], summary: Callable[[Sequence[float]], float]) -> str:
    worked = [one for one in ours if one.waited > 0]
    if not worked:
        return "nothing waited"
    if any(one.seconds is None for one in worked):
        return "not within reach" if summary is max else "-"
    return f"{summary([one.seconds for one in worked if one.seconds is not None]):.1f} s"
