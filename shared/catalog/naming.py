"""Where else than in its own row a picture is named: a submission is called after what it was
given, and its parts say how far a folder was read. What is forgotten is named there no more."""

import re
from collections.abc import Collection, Sequence
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.schema import memberships, parts, passed_over, submissions

FORGOTTEN = "(forgotten)"


async def unname(
    connection: AsyncConnection,
    rows: Sequence[Row[*tuple[Any, ...]]],  # Any: columns of several types
) -> None:
    """Take the names of some images out of the submissions that have them. `rows` have `pk`,
    `name` and `source_uri`."""
    keys = [row.pk for row in rows]
    named = {*chain.from_iterable(_names(row.name) for row in rows)}
    sources = [row.source_uri for row in rows if row.source_uri is not None]
    of_them = select(memberships.c.submission).where(memberships.c.image.in_(keys)).distinct()
    found = await connection.execute(
        select(submissions.c.pk, submissions.c.name).where(submissions.c.pk.in_(of_them))
    )
    for key, name in found.all():
        left = without(name, named)
        if left != name:
            change = update(submissions).where(submissions.c.pk == key)
            await connection.execute(change.values(name=left))
    mine = parts.c.submission.in_(of_them)
    await connection.execute(update(parts).where(mine, parts.c.uri.in_(sources)).values(uri=None))
    await _unname_examples(connection, keys, named)
    over = parts.c.closed_at.is_not(None)
    read = parts.c.position != ""
    await connection.execute(update(parts).where(mine, over, read).values(position=""))


async def _unname_examples(
    connection: AsyncConnection, keys: Sequence[int], named: Collection[str]
) -> None:
    """Of what their submissions passed over, an example that tells of an image is told no more."""
    of_them = select(memberships.c.submission).where(memberships.c.image.in_(keys))
    query = select(passed_over).where(passed_over.c.submission.in_(of_them.distinct()))
    for row in (await connection.execute(query.where(passed_over.c.example != ""))).all():
        if tells_of(row.example, named):
            change = update(passed_over).where(
                passed_over.c.submission == row.submission, passed_over.c.kind == row.kind
            )
            await connection.execute(change.values(example=""))


def tells_of(folder: str, names: Collection[str]) -> bool:
    """Whether a folder's path says one of these names, if only without its extension, or has a
    folder that one of them lies in: `anna.lrdata/` of `anna.jpg`, `anna/thumbs/` of
    `anna/1.jpg`."""
    parts_ = [part for part in folder.split("/") if part]
    for name in names:
        above, _, last = name.rpartition("/")
        alone = re.compile(rf"(?<!\w){re.escape(last.rpartition('.')[0] or last)}(?!\w)")
        if any(alone.search(part) for part in parts_):
            return True
        if above and set(above.split("/")) & set(parts_):
            return True
    return False


def without(title: str, names: Collection[str]) -> str:
    """A submission's name, with `(forgotten)` for these names, and for a pattern of one at its end,
    as a redo is called after what it was given."""
    for name in names:
        if name and name in title:
            alone = rf"(?<![^\s,]){re.escape(name)}(?![^\s,])"
            title = re.sub(alone, FORGOTTEN, title)
    words = title.split(" ")
    for n in range(len(words)):
        if _is_pattern_of(" ".join(words[n:]), names):
            return " ".join([*words[:n], FORGOTTEN])
    return title


def _names(name: str) -> tuple[str, str]:
    return name, name.rpartition("/")[2]


def _is_pattern_of(text: str, names: Collection[str]) -> bool:
    """Whether a text is a pattern that says something of a name, and not `*`."""
    says = any(sign in text for sign in "*?[") and any(letter.isalnum() for letter in text)
    return says and any(fnmatchcase(name, text) for name in names)
