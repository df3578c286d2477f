"""An event loop's clock that a test moves on: time limits end without anybody waiting for them."""

import asyncio

import pytest


class LoopClock:
    """The running loop's clock. Timers of the loop (`asyncio.timeout`, `call_later`) follow it."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        self._real = loop.time
        self._passed = 0.0
        self._stopped_at: float | None = None
        patch.setattr(loop, "time", self._time)

    def pass_by(self, seconds: float) -> None:
        """So many seconds go by at once; what was due in them happens in the loop's next turn."""
        self._passed += seconds

    def stop(self) -> None:
        """From now on no timer ends: whatever waits for one, waits until the test's time limit."""
        self._stopped_at = self._time()

    def _time(self) -> float:
        return self._real() + self._passed if self._stopped_at is None else self._stopped_at


@pytest.fixture
async def clock(monkeypatch: pytest.MonkeyPatch) -> LoopClock:
    """The clock of the test's own loop."""
    return LoopClock(monkeypatch)
