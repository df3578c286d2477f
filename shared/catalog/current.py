"""Which row of a source is the current one: the picture as it was named last.

A source (a file, an object of a bucket; of what was sent along, the bytes themselves) has a row for
each version of it and each recipe. One of them is *current*: what results, exports and counts
speak of. Decisive is the order in which ingest named them, and not the order of their results:

- a row that is named takes the place of the current one; if it is still to be searched and the
  current one has ended, only when it ends itself: until then it is the *next* one;
- so the result of a version that another has overtaken changes nothing here;
- a row that is named and is current already, as nearly all of a repeated run are, costs nothing.

A source has one current row, and at most one next. On PostgreSQL whoever names rows holds a lock on
the folders of their sources, so that of two versions named at once one comes last.
"""

import zlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import bulk
from shared.catalog.schema import SQLITE_TIME, images
from shared.messages import Status

SOURCE = "COALESCE({table}.source_uri, {table}.id)"
"""What the rows of one source have in common, as its index says it."""

ADVISORY_CLASS = 0x66616365
"""Of the locks of folders; any number, the same for every process: "face" in ASCII."""

FOLDER_LOCKS = 1024
"""Folders share this many locks, so that a list of files from everywhere takes no more."""


class Currency(IntEnum):
    """What `images.current` holds."""

    OLDER = 0
    CURRENT = 1
    NEXT = 2


class Named(NamedTuple):
    """A row that is named, as it is now; a new row is inserted as current."""

    pk: int
    source: str
    ended: bool
    current: int


class _Rival(NamedTuple):
    """Another current or next row of the source of the row `of`."""

    of: int
    pk: int
    status: str
    current: int
    queued_at: datetime | str

    @property
    def stands(self) -> bool:
        """Whether it is current and has a result."""
        return self.current == Currency.CURRENT and self.status != Status.QUEUED


def source_of(source_uri: str | None, image: str) -> str:
    """What the rows of one source have in common."""
    return image if source_uri is None else source_uri


async def name(connection: AsyncConnection, named: Iterable[Named]) -> None:
    """These rows were named just now, in this order, and are locked."""
    due = _to_be_settled(named)
    if not due:
        return
    await _hold_folders(connection, due)
    rivals = await _rivals(connection, list(due.values()))
    changed: dict[int, Currency] = {}
    for one in due.values():
        _take_place(one, rivals[one.pk], changed)
    await _set(connection, changed)


async def restore(
    connection: AsyncConnection, restored: Sequence[tuple[Named, datetime]]
) -> dict[int, Currency]:
    """These rows, with when they were queued, were made anew for results that had none.

    They count as named when they were queued. Returns what changed, by the keys of rows.
    """
    in_order = sorted(restored, key=lambda one: one[1])
    queued_at = {one.pk: moment for one, moment in restored}
    newest = {one.source: one for one, _ in in_order}
    await _hold_folders(connection, newest)
    rivals = await _rivals(connection, list(newest.values()))
    changed: dict[int, Currency] = {}
    for one in newest.values():
        if any(_moment(rival.queued_at) > queued_at[one.pk] for rival in rivals[one.pk]):
            changed[one.pk] = Currency.OLDER
        else:
            _take_place(one, rivals[one.pk], changed)
    for one, _ in in_order:
        if newest[one.source].pk != one.pk:
            changed[one.pk] = Currency.OLDER
    await _set(connection, changed)
    return changed


async def ended(connection: AsyncConnection, keys: Sequence[int]) -> None:
    """These rows were next, are locked, and have ended now: they are current from here on."""
    before = await bulk.select(
        connection,
        images,
        {"pk": keys},
        "SELECT images.pk FROM {given} JOIN images AS next "  # noqa: S608 - names of ours
        "ON next.pk = given.pk "
        f"JOIN images ON {_of('images')} = {_of('next')} "
        f"WHERE images.current = {Currency.CURRENT:d} ORDER BY images.pk {{lock}}",
        int,
    )
    changed = dict.fromkeys(before, Currency.OLDER) | dict.fromkeys(keys, Currency.CURRENT)
    await _set(connection, changed)


async def deleted(connection: AsyncConnection, sources: Sequence[str]) -> None:
    """The current rows of these sources are gone: of what is left, the newest is current."""
    newest = await bulk.select(
        connection,
        images,
        {"source_uri": sorted(set(sources))},
        "SELECT max(images.pk) FROM {given} "  # noqa: S608 - names of ours
        f"JOIN images ON {_of('images')} = given.source_uri GROUP BY given.source_uri",
        int,
    )
    await _set(connection, dict.fromkeys(newest, Currency.CURRENT))


def _of(table: str) -> str:
    return SOURCE.format(table=table)


def _to_be_settled(named: Iterable[Named]) -> dict[str, Named]:
    """By source, the last of those that are not simply what is current already."""
    return {one.source: one for one in named if not one.ended or one.current != Currency.CURRENT}


def _take_place(one: Named, rivals: Sequence[_Rival], changed: dict[int, Currency]) -> None:
    """Let a row take the place of its rivals, now or when it ends."""
    waits = not one.ended and any(rival.stands for rival in rivals)
    wanted = Currency.NEXT if waits else Currency.CURRENT
    if one.current != wanted:
        changed[one.pk] = wanted
    for rival in rivals:
        if not (waits and rival.stands):
            changed[rival.pk] = Currency.OLDER


async def _rivals(
    connection: AsyncConnection, named: Sequence[Named]
) -> Mapping[int, list[_Rival]]:
    found = await bulk.select(
        connection,
        images,
        {"pk": [one.pk for one in named], "source_uri": [one.source for one in named]},
        "SELECT given.pk, images.pk, images.status, "  # noqa: S608 - names of ours
        "images.current, images.queued_at "
        f"FROM {{given}} JOIN images ON {_of('images')} = given.source_uri "
        f"WHERE images.current > {Currency.OLDER:d} AND images.pk <> given.pk "
        "ORDER BY images.pk {lock}",
        _Rival,
    )
    rivals: defaultdict[int, list[_Rival]] = defaultdict(list)
    for rival in found:
        rivals[rival.of].append(rival)
    return rivals


def _moment(value: datetime | str) -> datetime:
    """A time as a statement without types gives it."""
    if isinstance(value, datetime):
        return value
    return datetime.strptime(value, SQLITE_TIME).replace(tzinfo=UTC)


async def _set(connection: AsyncConnection, changed: Mapping[int, Currency]) -> None:
    keys = sorted(changed)
    values = [int(changed[key]) for key in keys]
    await bulk.update(connection, images, {"pk": keys, "current": values})


async def _hold_folders(connection: AsyncConnection, sources: Iterable[str]) -> None:
    """Until the commit nobody else names sources in the folders of these. SQLite has one writer."""
    if connection.dialect.name != "postgresql":
        return
    folders = {source.rpartition("/")[0].encode("utf-8", "replace") for source in sources}
    numbers = sorted({zlib.crc32(folder) % FOLDER_LOCKS for folder in folders})
    await connection.execute(_HOLD, {"class": ADVISORY_CLASS, "numbers": numbers})


_HOLD = text(
    "SELECT pg_advisory_xact_lock(CAST(:class AS integer), number) "
    "FROM unnest(CAST(:numbers AS integer[])) AS number"
)
