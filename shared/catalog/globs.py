"""Name patterns as a shell's (`*`, `?`, `[a-z]`, `[!a-z]`), in the words of each database.

`*` also matches `/`: a name is a path, and `*beach*` finds the beach in any folder.
"""

import re
from collections.abc import Iterator

from sqlalchemy import ColumnElement, and_

from shared.catalog.schema import images

_TOKEN = re.compile(r"\*+|\?|\[[!^]?\]?[^\]]*\]|.", re.DOTALL)


def matches(pattern: str, postgres: bool) -> ColumnElement[bool]:
    """The condition that an image's name matches the pattern, all of it and with its case."""
    if not any(character in pattern for character in "*?["):
        return images.c.name == pattern
    if not postgres:
        return images.c.name.op("GLOB", is_comparison=True)(sqlite_glob(pattern))
    # LIKE costs a tenth of a regular expression, which has the last word only where LIKE cannot.
    like = images.c.name.like(postgres_like(pattern), escape="\\")
    exact = images.c.name.op("~", is_comparison=True)(postgres_regex(pattern))
    return and_(like, exact) if "[" in pattern else like


def _tokens(pattern: str) -> Iterator[tuple[str, bool, str]]:
    """Kind (`*`, `?`, `[` for a set, or `` for one character), whether negated, and text."""
    for found in _TOKEN.findall(pattern):
        if found[0] == "*":
            yield "*", False, ""
        elif found == "?":
            yield "?", False, ""
        elif found[0] == "[" and len(found) > 1:
            negated = found[1] in "!^"
            yield "[", negated, found[1 + negated : -1]
        else:
            yield "", False, found


def sqlite_glob(pattern: str) -> str:
    """The pattern for SQLite's GLOB, which negates with ^ and has no other way to quote."""
    words = {"*": "*", "?": "?"}
    return "".join(
        words.get(kind)
        or (f"[{'^' if negated else ''}{text}]" if kind else f"[{text}]" if text == "[" else text)
        for kind, negated, text in _tokens(pattern)
    )


def postgres_like(pattern: str) -> str:
    """The pattern for LIKE, which has no sets: any character passes for one."""
    words = {"*": "%", "?": "_", "[": "_"}
    return "".join(
        words.get(kind) or re.sub(r"([%_\\])", r"\\\1", text) for kind, _, text in _tokens(pattern)
    )


def postgres_regex(pattern: str) -> str:
    """The pattern as a regular expression of PostgreSQL."""
    words = {"*": ".*", "?": "."}
    parts = []
    for kind, negated, text in _tokens(pattern):
        if kind == "[":
            inside = re.sub(r"([\\\[\]])", r"\\\1", text)
            inside = "\\^" + inside[1:] if inside.startswith("^") else inside
            parts.append(f"[{'^' if negated else ''}{inside}]")
        else:
            parts.append(words.get(kind) or re.sub(r"([^\w\s])", r"\\\1", text))
    return f"^{''.join(parts)}$"
