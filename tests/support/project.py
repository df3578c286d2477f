"""The project's folder, and what its pyproject.toml says."""

import tomllib
from pathlib import Path
from typing import Any

PROJECT = Path(__file__).resolve().parents[2]

PYPROJECT: dict[str, Any] = tomllib.loads((PROJECT / "pyproject.toml").read_text("utf-8"))
"""Any: tables of many kinds."""

VERSION: str = PYPROJECT["project"]["version"]
"""The one source of the version; whatever repeats it is compared with this."""


MAKEFILES = [PROJECT / "Makefile", *PROJECT.glob("*.mk"), *PROJECT.glob("*/*.mk")]


def make_targets() -> set[str]:
    """Every target that somebody may type after `make`."""
    rules = [line.partition(":")[0] for path in MAKEFILES for line in path.read_text().splitlines()]
    return {rule for rule in rules if rule and set(rule) <= set("abcdefghijklmnopqrstuvwxyz-")}
