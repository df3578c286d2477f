"""Logging never stops the work that it tells of."""

import io
import sys

import pytest
import structlog

from shared.logs import configure_logs
from shared.settings import Settings


class Broken(io.StringIO):
    """A terminal that is gone."""

    def write(self, _text: str) -> int:
        raise BrokenPipeError(32, "Broken pipe")

    def flush(self) -> None:
        raise BrokenPipeError(32, "Broken pipe")


@pytest.fixture(autouse=True)
def reset() -> None:
    structlog.reset_defaults()


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_standard_error_that_is_closed_or_broken_stops_nothing(
    form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed, later = io.StringIO(), io.StringIO()
    monkeypatch.setattr(sys, "stderr", closed)
    configure_logs(Settings.load({"log_format": form}))
    log = structlog.get_logger()
    log.info("first")
    assert "first" in closed.getvalue()
    closed.close()
    log.warning("told to nobody")
    monkeypatch.setattr(sys, "stderr", Broken())
    log.error("nor this")
    monkeypatch.setattr(sys, "stderr", later)
    log.info("and on")
    assert "and on" in later.getvalue()
