"""Damaged files, by the hundred: an answer each time, within the limits. See `tests/fuzz`."""

import os
import subprocess
import sys

import pytest

from services.detector.picture import process
from tests.support.fuzzed import KINDS, NoFaces, mutated
from tests.support.pictures import LIMITS, recipe

EACH = 150


@pytest.mark.parametrize("kind", KINDS)
def test_damaged_bytes_are_always_answered(kind: str) -> None:
    answers = set()
    for seed in range(EACH):
        done = process(mutated(kind, seed), recipe(), NoFaces(), LIMITS)
        answers.add(done.status)
        assert (done.status == "failed") is bool(done.reason)
        assert done.width * done.height <= LIMITS.max_pixels
    assert "failed" in answers, "the damage is real"


@pytest.mark.parametrize("way", ["decoding", "slots"])
def test_the_fuzzer_says_how_many_ended_how(way: str) -> None:
    command = [sys.executable, "-m", "tests.fuzz", way, str(len(KINDS))]
    environment = os.environ | {"FACES_MODEL": "haar"}
    shown = subprocess.run(command, env=environment, check=True, capture_output=True).stdout
    assert f"{len(KINDS)} files: {{".encode() in shown
    assert b"slowest" in shown
