"""Where programs run: the project's folder, and bench/.venv-NAME of each peer."""

import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent


def python_of(environment: str) -> Path:
    """The interpreter of an environment; '' is the project's own."""
    return HERE / f".venv-{environment}" / "bin" / "python" if environment else Path(sys.executable)


def lacks(environment: str) -> str:
    """How to install an environment that is absent; '' if it is there."""
    if not environment or (HERE / f".venv-{environment}" / ".installed").exists():
        return ""
    return f"not installed: make bench-peer-{environment}"
