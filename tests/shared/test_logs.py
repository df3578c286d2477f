"""Logging never stops the work that it tells of."""

import io
import json
import subprocess
import sys

import pytest
import structlog

from shared.log_lines import QUEUE_BYTES
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


PROGRAM = """
import os, signal, sys, time
import structlog
from shared.log_lines import QUEUE_BYTES
from shared.logs import configure_logs
from shared.settings import Settings

configure_logs(Settings.load({"log_format": "json"}))
log = structlog.get_logger()
for number in range(2 * QUEUE_BYTES // 1000):
    log.info("line", number=number, filling="x" * 1000)
print("all said", flush=True)
if sys.argv[1] == "waits":
    sys.stdin.read()
log.warning("the last")
"""


def program(then: str) -> subprocess.Popen[bytes]:
    """One that logs more than a pipe and the queue hold, and tells when it is through."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM, then],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def test_a_reader_that_stalls_stops_neither_the_work_nor_its_end() -> None:
    with program("ends") as running:
        assert running.stdout is not None
        assert running.stdout.readline() == b"all said\n"
        assert running.wait(60) == 0, "though nobody has read a line"


def test_lines_that_nobody_read_in_time_are_counted_when_the_reader_is_back() -> None:
    with program("waits") as running:
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stderr is not None
        assert running.stdout.readline() == b"all said\n"
        told: list[dict[str, object]] = []
        for line in running.stderr:
            told.append(json.loads(line))
            if told[-1]["event"] != "line":
                running.stdin.close()
                break
        told += [json.loads(line) for line in running.stderr]
    lines = [one["number"] for one in told if one["event"] == "line"]
    left_out = next(one["lines"] for one in told if "left out" in str(one["event"]))
    assert lines == list(range(len(lines))), "what is told comes in order"
    assert isinstance(left_out, int)
    assert left_out > 0
    assert len(lines) + left_out == 2 * QUEUE_BYTES // 1000
    assert told[-1]["event"] == "the last"


def test_a_reader_that_goes_away_stops_nothing() -> None:
    with program("waits") as running:
        assert running.stdin is not None
        assert running.stdout is not None
        assert running.stderr is not None
        running.stderr.close()
        assert running.stdout.readline() == b"all said\n"
        running.stdin.close()
        assert running.wait(60) == 0
