"""Many rows in one statement: unnest on PostgreSQL, executemany or json_each on SQLite."""

import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

from sqlalchemy import Table
from sqlalchemy.ext.asyncio import AsyncConnection

Row = Sequence[Any]  # Any: a row mixes the types of its columns


def _postgres(connection: AsyncConnection) -> bool:
    return connection.dialect.name == "postgresql"


def _types(connection: AsyncConnection, table: Table, columns: str) -> list[str]:
    return [str(table.c[name].type.compile(connection.dialect)) for name in columns.split()]


def _bound(
    connection: AsyncConnection, table: Table, columns: str, rows: Iterable[Row]
) -> list[Row]:
    """The rows as the driver takes them, each value through its column's type."""
    makers = [
        table.c[name].type.dialect_impl(connection.dialect).bind_processor(connection.dialect)
        for name in columns.split()
    ]
    if not any(makers):
        return list(rows)
    return [
        tuple(make(value) if make else value for make, value in zip(makers, row, strict=True))
        for row in rows
    ]


def _unnest(types: Sequence[str]) -> str:
    arrays = ", ".join(f"${n}::{kind}[]" for n, kind in enumerate(types, start=1))
    return f"unnest({arrays})"


async def insert(
    connection: AsyncConnection,
    table: Table,
    columns: str,
    rows: Iterable[Row],
    conflict: Literal["refuse", "ignore", "replace"] = "refuse",
) -> None:
    """Insert rows of `columns` (names, parted by spaces); `conflict`: with a key already there."""
    bound = _bound(connection, table, columns, rows)
    if not bound:
        return
    names = columns.split()
    into = f"INSERT INTO {table.name} ({', '.join(names)})"
    skip = {"refuse": "", "ignore": " ON CONFLICT DO NOTHING"}.get(conflict)
    if skip is None:
        keys = [column.name for column in table.primary_key]
        sets = ", ".join(f"{name} = excluded.{name}" for name in names if name not in keys)
        skip = f" ON CONFLICT ({', '.join(keys)}) DO UPDATE SET {sets}"
    if _postgres(connection):
        source = _unnest(_types(connection, table, columns))
        statement = f"{into} SELECT * FROM {source}{skip}"  # noqa: S608 - names of ours
        await connection.exec_driver_sql(statement, tuple(map(list, zip(*bound, strict=True))))
        return
    marks = ", ".join("?" * len(names))
    await connection.exec_driver_sql(f"{into} VALUES ({marks}){skip}", bound)


async def update(
    connection: AsyncConnection, table: Table, columns: str, rows: Iterable[Row]
) -> None:
    """Update rows by their `pk`, which is the first of `columns`."""
    bound = _bound(connection, table, columns, rows)
    if not bound:
        return
    key, *changed = columns.split()
    if _postgres(connection):
        source = _unnest(_types(connection, table, columns))
        sets = ", ".join(f"{name} = given.{name}" for name in changed)
        statement = (
            f"UPDATE {table.name} SET {sets} FROM {source} AS given ({', '.join([key, *changed])}) "  # noqa: S608
            f"WHERE {table.name}.{key} = given.{key}"
        )
        await connection.exec_driver_sql(statement, tuple(map(list, zip(*bound, strict=True))))
        return
    sets = ", ".join(f"{name} = ?{n}" for n, name in enumerate(changed, start=2))
    await connection.exec_driver_sql(
        f"UPDATE {table.name} SET {sets} WHERE {key} = ?1",  # noqa: S608 - names of ours
        bound,
    )


async def select(
    connection: AsyncConnection,
    given: Sequence[tuple[str, str]],
    rows: Sequence[Row],
    statement: str,
) -> list[Row]:
    """Run `statement` (a SELECT, or a change that RETURNs) with `{given}` as a table of `rows`.

    `given` names its columns and their PostgreSQL types; on SQLite they are read out of JSON.
    `{lock}` becomes what keeps selected rows of `images` as they are until the commit.
    """
    if not rows:
        return []
    names = [name for name, _ in given]
    if _postgres(connection):
        source = f"{_unnest([kind for _, kind in given])} AS given ({', '.join(names)})"
        parameters: tuple[Any, ...] = tuple(map(list, zip(*rows, strict=True)))
        lock = "FOR NO KEY UPDATE OF images"
    else:
        fields = ", ".join(
            f"json_extract(value, '$[{n}]') AS {name}" for n, name in enumerate(names)
        )
        source = f"(SELECT {fields} FROM json_each(?)) AS given"  # noqa: S608 - names of ours
        parameters = (json.dumps([list(row) for row in rows]),)
        lock = ""
    result = await connection.exec_driver_sql(statement.format(given=source, lock=lock), parameters)
    return [tuple(row) for row in result]
