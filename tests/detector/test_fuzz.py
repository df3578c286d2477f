"""Damaged files, by the hundred: an answer each time, within the limits. `tests/fuzz` has more."""

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
