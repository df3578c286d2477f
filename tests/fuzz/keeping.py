"""Findings are kept as files, so that each can be tried again with one command."""

from pathlib import Path

from tests.fuzz.course import Finding
from tests.fuzz.target import Target

FOUND = Path(__file__).resolve().parent / "found"
"""Not in git."""


def keep(finding: Finding, folder: Path) -> str:
    """Write an input and what was wrong with it; returns the command that tries it again."""
    place = folder / finding.target
    place.mkdir(parents=True, exist_ok=True)
    file = place / f"{finding.kind}.{finding.number}"
    file.write_bytes(finding.content)
    file.with_name(f"{file.name}.txt").write_text(f"{finding.wrong}\n", "utf-8")
    return f"python -m tests.fuzz {finding.target} --again {_shown(file)}"


def _shown(file: Path) -> Path:
    return file.relative_to(Path.cwd()) if file.is_relative_to(Path.cwd()) else file


def named(target: Target, given: str) -> tuple[str, bytes]:
    """The kind and the bytes of `KIND.NUMBER`, made anew, or of a file of such a name.

    Raises:
        ValueError: it is neither.
    """
    kind, _, number = Path(given).name.rpartition(".")
    if kind not in target.kinds or not number.isdigit():
        raise ValueError(
            f"{given}: name an input as KIND.NUMBER, or its file; the kinds of {target.name} are "
            f"{', '.join(target.kinds)}"
        )
    file = Path(given)
    return kind, file.read_bytes() if file.is_file() else target.make(kind, int(number))
