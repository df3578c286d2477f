"""Name patterns as a shell's (`*`, `?`, `[a-z]`, `[!a-z]`), in the words of each database.

`*` also matches `/`: a name is a path, and `*beach*` finds the beach in any folder.
"""

import re
from collections.abc import Iterator

from sqlalchemy import ColumnElement, func

from shared.catalog.schema import images

_TOKEN = re.compile(r"\*+|\?|\[[!^]?\]?[^\]]*\]|.", re.DOTALL)


def matches(pattern: str, postgres: bool) -> ColumnElement[bool]:
    """The condition that an image's name matches the pattern, all of it and with its case."""
    if not any(character in pattern for character in "*?["):
        return images.c.name == pattern
    if not postgres:
        return func.glob(sqlite_glob(pattern), images.c.name) == 1
    like = postgres_like(pattern)
    if like is not None:
        return images.c.name.like(like, escape="\\")
    return images.c.name.op("~")(postgres_regex(pattern))


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


def postgres_like(pattern: str) -> str | None:
    """The pattern for LIKE; None if it has a set, which LIKE has not."""
    words = {"*": "%", "?": "_"}
    parts = []
    for kind, _, text in _tokens(pattern):
        if kind == "[":
            return None
        parts.append(words.get(kind) or re.sub(r"([%_\\])", r"\\\1", text))
    return "".join(parts)


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
