"""What a run says of its progress, and its last line."""

import io
from dataclasses import replace

import pytest

from services.cli.local.progress import Pace, Plain, last_line
from shared.catalog import SubmissionStatus
from shared.messages import new_token, now
from shared.printing import count, duration, size

STANDING = SubmissionStatus(
    id=new_token(),
    name="",
    created_at=now(),
    named=1248,
    queued=0,
    with_faces=910,
    no_faces=334,
    failed=4,
    faces=3187,
    skipped=0,
    parts_open=0,
    sealed=True,
    failed_parts=(),
    cancelled=False,
    complete=True,
)


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_last_line_has_the_fixed_form() -> None:
    line = last_line(STANDING, 31.24)
    assert line == "1,248 images  910 with faces  3,187 faces  4 failed  31.2 img/s"


def test_the_pace_is_of_the_last_seconds_only() -> None:
    clock = Clock()
    pace = Pace(clock)
    for done in range(0, 100, 10):  # ten a second, and then nothing any more
        pace.at(done)
        clock.now += 1
    assert pace.at(90) == pytest.approx(10, rel=0.2)
    clock.now += 30
    pace.at(90)
    clock.now += 1
    assert pace.at(90) == 0


def test_time_left_is_unknown_while_nothing_moves() -> None:
    assert Pace.left(10, 0) is None
    assert Pace.left(10, 5) == 2
    assert Pace.left(0, 0) == 0


@pytest.mark.parametrize(
    ("seconds", "said"), [(3, "3 s"), (99, "99 s"), (600, "10 min"), (12000, "3 h 20 min")]
)
def test_durations_are_said_as_people_say_them(seconds: float, said: str) -> None:
    assert duration(seconds) == said


@pytest.mark.parametrize(
    ("number", "said"), [(0, "0 B"), (999, "999 B"), (3_100_000, "3.1 MB"), (2.5e12, "2500.0 GB")]
)
def test_bytes_are_said_with_a_unit(number: float, said: str) -> None:
    assert size(number) == said


def test_one_is_not_many() -> None:
    assert [count(n, "picture") for n in (0, 1, 2000)] == [
        "0 pictures",
        "1 picture",
        "2,000 pictures",
    ]
    assert count(3, "entry", "entries") == "3 entries"


def test_without_a_terminal_there_is_a_plain_line_every_few_seconds() -> None:
    clock, stream = Clock(), io.StringIO()
    plain = Plain(stream, clock)
    half = replace(STANDING, with_faces=300, no_faces=300, failed=0, queued=648, complete=False)
    for _ in range(60):
        plain.show(half)
        clock.now += 0.1
    plain.show(STANDING)
    lines = stream.getvalue().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("600 of 1,248 images  3,187 faces  0 failed")


def test_while_folders_are_still_read_the_total_is_open() -> None:
    clock, stream = Clock(), io.StringIO()
    plain = Plain(stream, clock)
    clock.now += 6
    plain.show(replace(STANDING, sealed=False, parts_open=1, complete=False))
    assert "of 1,248+ images" in stream.getvalue()
