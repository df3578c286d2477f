"""SECURITY.md and docs/faults.md name tests; each of them is there."""

import re
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("document", ["SECURITY.md", "docs/faults.md"])
def test_every_test_that_is_named_exists(document: str) -> None:
    text = (PROJECT / document).read_text()
    files = set(re.findall(r"`(?:tests/)?(test_\w+\.py)", text))
    names = set(re.findall(r"\b(test_\w+)`", text))
    assert files and names
    sources = {path.name: path.read_text() for path in (PROJECT / "tests").rrglob("test_*.py")}
    assert files <= sources.keys()
    defined = set(re.findall(r"^(?:async )?def (test_\w+)", "\n".join(sources.values()), re.M))
    assert names <= defined


def test_a_fault_and_the_file_of_its_test_belong_together() -> None:
    text = (PROJECT / "docs" / "faults.md").read_text()
    for file, name in re.findall(r"`(test_\w+\.py)::(test_\w+)`", text):
        assert f"def {name}(" in (PROJECT / "tests" / file).read_text(), (file, name)
