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
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from typing import NamedTuple

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog import bulk, plans
from shared.catalog.schema import SQLITE_TIME, images
from shared.messages import Status

SOURCE = "COALESCE({table}.source_uri, {table}.id)"
"""What the rows of one source have in common, as its index says it."""

ADVISORY_CLASS = 0x66616365
"""Of the locks of folders; any number, the same for every process: "face" in ASCII."""

# Below, `max(pk + 0)` is found by the index of sources: for `max(pk)` PostgreSQL walks down the
# keys of all rows until one fits.

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


class _Key(NamedTuple):
    pk: int | None


class _Rivals(NamedTuple):
    """Keys of other current or next rows of the source of `row`: there are at most two."""

    row: int
    first: int | None
    last: int | None


class _Rival(NamedTuple):
    """Another current or next row of a source, locked."""

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
    await hold_folders(connection, due)
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
    await hold_folders(connection, newest)
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
    if not keys:
        return
    await plans.uncompiled(connection)
    before = await bulk.select(
        connection,
        images,
        {"pk": keys},
        "SELECT (SELECT max(images.pk + 0) FROM images "  # noqa: S608 - names of ours
        f"WHERE {_of('images')} = {_of('next')} AND images.current = {Currency.CURRENT:d}) "
        "FROM {given} JOIN images AS next ON next.pk = given.pk",
        _Key,
    )
    changed = {one.pk: Currency.OLDER for one in before if one.pk is not None}
    await _set(connection, changed | dict.fromkeys(keys, Currency.CURRENT))


async def deleted(connection: AsyncConnection, sources: Sequence[str]) -> None:
    """The current rows of these sources, whose folders are held, are gone: of what is left, the
    newest is current."""
    if not sources:
        return
    await plans.uncompiled(connection)
    newest = await bulk.select(
        connection,
        images,
        {"source_uri": sorted(set(sources))},
        "SELECT (SELECT max(images.pk + 0) FROM images "  # noqa: S608 - names of ours
        f"WHERE {_of('images')} = given.source_uri) FROM {{given}}",
        _Key,
    )
    keys = [one.pk for one in newest if one.pk is not None]
    await _set(connection, dict.fromkeys(keys, Currency.CURRENT))


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
    """By the keys of rows. Each source is looked up by itself: PostgreSQL would read all rows for
    a join, as it does not know how few a source has."""
    await plans.uncompiled(connection)
    other = (
        f"FROM images WHERE {_of('images')} = given.source_uri "
        f"AND images.current > {Currency.OLDER:d} AND images.pk <> given.pk"
    )
    found = await bulk.select(
        connection,
        images,
        {"pk": [one.pk for one in named], "source_uri": [one.source for one in named]},
        f"SELECT given.pk, (SELECT min(images.pk + 0) {other}), "  # noqa: S608 - names of ours
        f"(SELECT max(images.pk + 0) {other}) FROM {{given}}",
        _Rivals,
    )
    keys = {one.row: {one.first, one.last} - {None} for one in found}
    if not any(keys.values()):  # as of nearly all that is new
        return {row: [] for row in keys}
    locked = await bulk.select(
        connection,
        images,
        {"pk": sorted(key for of_one in keys.values() for key in of_one if key is not None)},
        "SELECT images.pk, images.status, images.current, "  # noqa: S608 - names of ours
        "images.queued_at FROM {given} JOIN images ON images.pk = given.pk "
        f"WHERE images.current > {Currency.OLDER:d} ORDER BY images.pk {{lock}}",
        _Rival,
    )
    by_key = {rival.pk: rival for rival in locked}
    return {row: [by_key[key] for key in of_one if key in by_key] for row, of_one in keys.items()}


def _moment(value: datetime | str) -> datetime:
    """A time as a statement without types gives it."""
    if isinstance(value, datetime):
        return value
    return datetime.strptime(value, SQLITE_TIME).replace(tzinfo=UTC)


async def _set(connection: AsyncConnection, changed: Mapping[int, Currency]) -> None:
    if not changed:
        return
    keys = sorted(changed)
    values = [int(changed[key]) for key in keys]
    await bulk.update(connection, images, {"pk": keys, "current": values})


async def hold_folders(connection: AsyncConnection, sources: Iterable[str]) -> None:
    """Until the commit nobody else names sources in the folders of these, or takes rows of them
    away: to be held before such rows are locked. SQLite has one writer."""
    if connection.dialect.name != "postgresql":
        return
    folders = {source.rpartition("/")[0].encode("utf-8", "replace") for source in sources}
    numbers = sorted({zlib.crc32(folder) % FOLDER_LOCKS for folder in folders})
    await connection.execute(_HOLD, {"class": ADVISORY_CLASS, "numbers": numbers})


_HOLD = text(
    "SELECT pg_advisory_xact_lock(CAST(:class AS integer), number) "
    "FROM unnest(CAST(:numbers AS integer[])) AS number"
)
