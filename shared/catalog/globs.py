"""Patterns as a shell's (`*`, `?`, `[a-z]`, `[!a-z]`), as conditions of each database.

`*` also matches `/`: a name is a path, and `*beach*` finds the beach in any folder.
"""

import re
from collections.abc import Iterator

from sqlalchemy import ColumnElement, and_, or_

from shared.catalog.schema import images

HEADS_AT_MOST = 64
"""Most beginnings that are looked up one by one; more would cost more than they save."""

HEAD_AT_LEAST = 4
"""Least characters of a beginning that is looked up: too many names share shorter ones."""

_RANGE = re.compile(r"(.)(?:-(.))?", re.DOTALL)
_TOKEN = re.compile(r"\*+|\?|\[[!^]?\]?[^\]]*\]|.", re.DOTALL)


def matches(pattern: str, postgres: bool) -> ColumnElement[bool]:
    """An image's whole name matches the pattern, with its case."""
    if not any(character in pattern for character in "*?["):
        return images.c.name == pattern
    if not postgres:
        return images.c.name.op("GLOB", is_comparison=True)(sqlite_glob(pattern))
    # LIKE costs a tenth of a regular expression, which is used only for sets: LIKE has none.
    if "[" not in pattern:
        return _like(images.c.name, postgres_like(pattern))
    beginnings = heads(pattern)
    several = len(beginnings) > 1 and len(beginnings[0]) >= HEAD_AT_LEAST
    # Appending '' keeps the planner from the index of parts of names: it expects one row there, and
    # would read all that have those parts anywhere.
    name = images.c.name.concat("") if several else images.c.name
    exact = name.op("~", is_comparison=True)(postgres_regex(pattern))
    whole = and_(_like(name, postgres_like(pattern)), exact)
    if not several:
        return whole
    return and_(or_(*(_like(images.c.name, _escaped(head) + "%") for head in beginnings)), whole)


def _like(name: ColumnElement[str], pattern: str) -> ColumnElement[bool]:
    return name.like(pattern, escape="\\")


def heads(pattern: str) -> list[str]:
    """What a matching name may begin with, its sets written out: `a[12]b*` gives `a1b`, `a2b`.

    The index of names finds each of these. Without them it would give all names that begin as the
    pattern does before its first set.
    """
    known = [""]
    for kind, negated, text in _tokens(pattern):
        choices = [text] if not kind else _members(text) if kind == "[" and not negated else []
        if not choices or len(known) * len(choices) > HEADS_AT_MOST:
            break
        known = [head + choice for head in known for choice in choices]
    return known


def _members(text: str) -> list[str]:
    """The characters of a set; none if they are more than `HEADS_AT_MOST`."""
    found: set[str] = set()
    for first, last in _RANGE.findall(text):
        code, end = ord(first), ord(last or first)
        if end - code >= HEADS_AT_MOST:
            return []
        found.update(map(chr, range(code, end + 1)))
    return sorted(found) if len(found) <= HEADS_AT_MOST else []


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
    """The pattern for SQLite's GLOB, which negates with ^ and quotes `[` only as a set, `[[]`."""
    words = {"*": "*", "?": "?"}
    return "".join(
        words.get(kind)
        or (f"[{'^' if negated else ''}{text}]" if kind else f"[{text}]" if text == "[" else text)
        for kind, negated, text in _tokens(pattern)
    )


def postgres_like(pattern: str) -> str:
    """The pattern for LIKE; a set, which LIKE lacks, becomes any one character."""
    words = {"*": "%", "?": "_", "[": "_"}
    return "".join(words.get(kind) or _escaped(text) for kind, _, text in _tokens(pattern))


def _escaped(text: str) -> str:
    """Text in which LIKE sees no pattern."""
    return re.sub(r"([%_\\])", r"\\\1", text)


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
