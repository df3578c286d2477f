"""The fuzzer, for a moment: nothing is found, the same numbers give the same inputs, and what it
would find is kept and told."""

import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from tests.fuzz.__main__ import main, table
from tests.fuzz.course import INPUTS_A_SEED, fuzz
from tests.fuzz.isolated import Limits, isolated
from tests.fuzz.keeping import keep, named
from tests.fuzz.registry import TARGETS
from tests.fuzz.target import Answer, Target, Try
from tests.support.project import PROJECT

EACH = {"headers": 60, "decoders": 40, "messages": 100, "entries": 3, "frames": 30, "listings": 14}

MANY_SECONDS = 1000.0


@pytest.mark.parametrize("name", TARGETS)
async def test_nothing_is_found_among_the_first_inputs(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FACES_MODEL", "haar")
    tally = await fuzz(TARGETS[name], MANY_SECONDS, seed=0, most=EACH[name])
    assert tally.findings == []
    assert tally.inputs == EACH[name]
    assert tally.answers.total() == EACH[name]


@pytest.mark.parametrize("name", TARGETS)
def test_a_number_gives_the_same_input_again_and_another_seed_gives_others(name: str) -> None:
    target = TARGETS[name]
    for kind in target.kinds:
        first = [target.make(kind, number) for number in range(5)]
        assert first == [target.make(kind, number) for number in range(5)]
        assert first != [target.make(kind, INPUTS_A_SEED + number) for number in range(5)]


def target_of(answer: Callable[[bytes], Answer], opened: list[int] | None = None) -> Target:
    """A target with an answer to each input, which is its number."""

    @asynccontextmanager
    async def opening() -> AsyncIterator[Try]:
        if opened is not None:
            opened.append(1)

        async def try_one(_: str, content: bytes) -> Answer:
            return answer(content)

        yield try_one

    return Target("some", "for tests", ("a", "b"), lambda _, n: str(n).encode(), opening, 2)


async def test_what_is_found_is_kept_and_can_be_tried_again(tmp_path: Path) -> None:
    opened: list[int] = []
    target = target_of(lambda content: Answer("x", "bad" if content == b"1" else ""), opened)
    tally = await fuzz(target, MANY_SECONDS, seed=0, most=10)
    assert [(one.kind, one.number) for one in tally.findings] == [("a", 1), ("b", 1)]
    assert tally.inputs == 10
    assert 2 <= len(opened) <= 3, "opened anew after a finding"
    command = keep(tally.findings[0], tmp_path)
    assert command == f"python -m tests.fuzz some --again {tmp_path}/some/a.1"
    assert named(target, f"{tmp_path}/some/a.1") == ("a", b"1")
    assert named(target, "b.7") == ("b", b"7"), "made anew"
    with pytest.raises(ValueError, match="the kinds of some are a, b"):
        named(target, "c.7")
    assert table([tally]).splitlines()[1].split()[:2] == ["some", "10"]


async def test_the_time_that_was_given_ends_a_run() -> None:
    tally = await fuzz(target_of(lambda _: Answer("x")), seconds=0.05, seed=3)
    assert tally.inputs > 0
    assert tally.slowest[1].partition(".")[2].startswith("3")


async def test_crashes_loops_floods_and_errors_are_found_and_the_next_input_is_tried() -> None:
    limits = Limits(cpu_seconds=0.5, memory_bytes=100 << 20)
    async with isolated("tests.support.spoiling:spoil", limits) as try_one:
        found = {kind: await try_one("", kind) for kind in (b"crash", b"loop", b"raise", b"flood")}
        after = await try_one("", b"")
    assert (after.text, after.wrong, after.lost) == ("fine", "", 0)
    assert "status -6" in found[b"crash"].wrong
    assert found[b"loop"].wrong == "took more than 0.5 s of CPU"
    assert found[b"raise"].wrong == "KeyError: 'unforeseen'"
    assert found[b"flood"].wrong.startswith("took ")
    assert [found[kind].lost for kind in found] == [1, 1, 0, 0]


def test_the_program_says_what_it_did() -> None:
    command = (sys.executable, "-m", "tests.fuzz", "messages", "--inputs", "6")
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=PROJECT)
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-2].split()[:2] == ["target", "inputs"]
    assert done.stdout.splitlines()[-1].split()[:2] == ["messages", "6"]


def test_the_program_refuses_a_target_that_it_does_not_know(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        main(["nothing"])
    assert "nothing: the targets are headers, decoders" in capsys.readouterr().err
