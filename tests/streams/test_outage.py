"""How long a server was away is told in seconds of the clock, however many wait for it."""

import asyncio
import time

import pytest
from prometheus_client import REGISTRY

from shared.errors import Unreachable
from shared.streams import outage
from shared.streams.outage import Outage


def seconds_away(stage: str) -> float:
    return REGISTRY.get_sample_value("faces_away_seconds_total", {"stage": stage}) or 0.0


async def test_a_second_in_which_all_wait_counts_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(outage, "backoff", lambda *_: 0.1)
    began, before = time.monotonic(), seconds_away("detector")
    activities = [Outage("detector", None, name) for name in ("", "leases")]
    waits = [one.wait(Unreachable("Redis is away")) for one in activities for _ in range(50)]
    await asyncio.gather(*waits)
    await activities[0].wait(Unreachable("Redis is away"))
    counted = seconds_away("detector") - before
    assert 0.2 <= round(counted, 6) <= round(time.monotonic() - began, 6)
