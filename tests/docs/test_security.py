"""SECURITY.md and docs/faults.md name tests; each of them is there."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]
TESTS = PROJECT / "tests"


def files_named(text: str) -> set[str]:
    """Files of tests that a document names, relative to `tests/`."""
    return set(re.findall(r"`(?:tests/)?(\w+/test_\w+\.py)", text))


@pytest.mark.parametrize("document", ["SECURITY.md", "docs/faults.md"])
def test_every_test_that_is_named_exists(document: str) -> None:
    text = (PROJECT / document).read_text()
    files = files_named(text)
    names = set(re.findall(r"\b(test_\w+)`", text))
    assert files and names
    sources = {str(path.relative_to(TESTS)): path.read_text() for path in TESTS.rglob("test_*.py")}
    assert files <= sources.keys()
    defined = set(re.findall(r"^(?:async )?def (test_\w+)", "\n".join(sources.values()), re.M))
    assert names <= defined


def test_no_file_of_tests_is_named_without_its_room() -> None:
    text = (PROJECT / "SECURITY.md").read_text() + (PROJECT / "docs" / "faults.md").read_text()
    assert not re.findall(r"`test_\w+\.py", text)


def test_a_fault_and_the_file_of_its_test_belong_together() -> None:
    text = (PROJECT / "docs" / "faults.md").read_text()
    named = re.findall(r"`(\w+/test_\w+\.py)::(test_\w+)`", text)
    assert named
    for file, name in named:
        assert f"def {name}(" in (TESTS / file).read_text(), (file, name)
