"""Many rows in one statement: unnest on PostgreSQL, executemany or json_each on SQLite.

Rows are given by column: a list of values for each name, all of the same length.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, TypeVar

from sqlalchemy import CursorResult, Table
from sqlalchemy.ext.asyncio import AsyncConnection

R = TypeVar("R")

# Any: each column has values of its own type.
Columns = Mapping[str, Sequence[Any]]
Values = Sequence[Any]

_CONFLICTS = {"refuse": "", "ignore": " ON CONFLICT DO NOTHING"}


async def insert(
    connection: AsyncConnection,
    table: Table,
    columns: Columns,
    conflict: Literal["refuse", "ignore", "replace"] = "refuse",
) -> None:
    """Insert rows; `conflict`: what is done with a row whose key is there already."""
    bound = _bound(connection, table, columns)
    if not bound[0]:
        return
    names = ", ".join(columns)
    skip = _CONFLICTS.get(conflict)
    if skip is None:
        keys = [column.name for column in table.primary_key]
        sets = ", ".join(f"{name} = excluded.{name}" for name in columns if name not in keys)
        skip = f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sets}"
    into = f"INSERT INTO {table.name} ({names})"
    if _postgres(connection):
        source = _unnest(connection, table, columns)
        statement = f"{into} SELECT * FROM {source}{skip}"  # noqa: S608 - names of ours
        await connection.exec_driver_sql(statement, tuple(bound))
        return
    marks = ", ".join("?" * len(columns))
    rows = list(zip(*bound, strict=True))
    await connection.exec_driver_sql(f"{into} VALUES ({marks}){skip}", rows)


async def update(connection: AsyncConnection, table: Table, columns: Columns) -> None:
    """Update rows by their `pk`, which is the first column."""
    bound = _bound(connection, table, columns)
    if not bound[0]:
        return
    key, *changed = columns
    if _postgres(connection):
        source = _unnest(connection, table, columns)
        sets = ", ".join(f"{name} = given.{name}" for name in changed)
        statement = (
            f"UPDATE {table.name} SET {sets} FROM {source} AS given ({', '.join(columns)}) "  # noqa: S608
            f"WHERE {table.name}.{key} = given.{key}"
        )
        await connection.exec_driver_sql(statement, tuple(bound))
        return
    sets = ", ".join(f"{name} = ?{n}" for n, name in enumerate(changed, start=2))
    statement = f"UPDATE {table.name} SET {sets} WHERE {key} = ?1"  # noqa: S608 - names of ours
    await connection.exec_driver_sql(statement, list(zip(*bound, strict=True)))


async def select(
    connection: AsyncConnection,
    table: Table,
    columns: Columns,
    statement: str,
    into: Callable[..., R],
) -> list[R]:
    """Run `statement` (a SELECT, or a change that RETURNs) with `{given}` as a table of rows.

    The given columns have the names and types of `table`. `{lock}` becomes what keeps selected
    rows of `images` as they are until the commit. `into` makes one value of each row's columns,
    such as a NamedTuple.
    """
    if not next(iter(columns.values())):
        return []
    return [into(*row) for row in await _run(connection, table, columns, statement)]


async def change(
    connection: AsyncConnection, table: Table, columns: Columns, statement: str
) -> None:
    """Run a DELETE or an UPDATE with `{given}` as in `select`."""
    if next(iter(columns.values())):
        await _run(connection, table, columns, statement)


async def _run(
    connection: AsyncConnection, table: Table, columns: Columns, statement: str
) -> CursorResult[Any]:  # Any: rows of whatever the statement selects
    parameters: tuple[Any, ...]  # Any: arrays of each column's type
    if _postgres(connection):
        source = f"{_unnest(connection, table, columns)} AS given ({', '.join(columns)})"
        parameters = tuple(map(list, columns.values()))
        lock = "FOR NO KEY UPDATE OF images"
    else:
        fields = ", ".join(
            f"json_extract(value, '$[{n}]') AS {name}" for n, name in enumerate(columns)
        )
        source = f"(SELECT {fields} FROM json_each(?)) AS given"  # noqa: S608 - names of ours
        parameters = (json.dumps(list(zip(*columns.values(), strict=True))),)
        lock = ""
    return await connection.exec_driver_sql(statement.format(given=source, lock=lock), parameters)


def _postgres(connection: AsyncConnection) -> bool:
    return connection.dialect.name == "postgresql"


def _bound(connection: AsyncConnection, table: Table, columns: Columns) -> list[Values]:
    """The columns as the driver takes them, each through its type."""
    bound: list[Values] = []
    for name, values in columns.items():
        kind = table.c[name].type.dialect_impl(connection.dialect)
        make = kind.bind_processor(connection.dialect)
        bound.append([make(value) for value in values] if make else list(values))
    return bound


def _unnest(connection: AsyncConnection, table: Table, columns: Columns) -> str:
    kinds = [table.c[name].type.compile(connection.dialect) for name in columns]
    arrays = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(kinds, start=1))
    return f"unnest({arrays})"
