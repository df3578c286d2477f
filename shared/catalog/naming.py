"""Where else than in its own row a picture is named: a submission is called after what it was
given, and its parts say how far a folder was read. What is forgotten is named there no more."""

from collections.abc import Collection, Iterable, Sequence
from fnmatch import fnmatchcase
from itertools import chain
from typing import Any

from sqlalchemy import Row, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.schema import memberships, parts, submissions

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
    over = parts.c.closed_at.is_not(None)
    await connection.execute(update(parts).where(mine, over).values(position=""))


def without(title: str, names: Iterable[str]) -> str:
    """A submission's name, with `(forgotten)` for what is one of the names, or their pattern."""
    names = set(names)
    for separator in (", ", " "):
        words = title.split(separator)
        title = separator.join(FORGOTTEN if _means(word, names) else word for word in words)
    return title


def _names(name: str) -> tuple[str, str]:
    return name, name.rpartition("/")[2]


def _means(word: str, names: Collection[str]) -> bool:
    if word in names:
        return True
    is_pattern = any(sign in word for sign in "*?[") and any(letter.isalnum() for letter in word)
    return is_pattern and any(fnmatchcase(name, word) for name in names)
