"""Helping PostgreSQL's planner with pages of rare rows.

For "the first 50 in order, of those that fit" it may walk along the order until it has met 50. It
expects rows that fit to be spread evenly; where they lie together (an album, a day) the walk passes
most of the table. So where few rows fit, by its own estimate, an index finds them all first, and
they are sorted then.
"""

import json
from typing import Any

from sqlalchemy import ClauseElement, Executable, Select, select, text
from sqlalchemy.ext.asyncio import AsyncConnection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.compiler import SQLCompiler

from shared.catalog.schema import images

FEW_TOGETHER = 50_000
"""Rows of neighbours (by name or date): finding all of them reads few pages of the table."""

FEW_OF_ALBUMS = 150_000
"""Rows of whole albums (by when or by what they were taken): a walk may pass most of the table."""

FEW_SPREAD = 2_000
"""Rows that lie anywhere (by faces or scores): each costs a page, but a walk meets many soon."""


class _Explain(Executable, ClauseElement):
    """EXPLAIN of a query with its parameters: it is planned, and not run."""

    inherit_cache = False

    def __init__(self, query: Select[Any]) -> None:
        self.query = query


@compiles(_Explain, "postgresql")
def _compile_explain(element: _Explain, compiler: SQLCompiler, **options: Any) -> str:
    # Any: options of the compiler, handed on as they are.
    return "EXPLAIN (FORMAT JSON) " + compiler.process(element.query, **options)


async def for_these_values(connection: AsyncConnection) -> None:
    """Plan each statement of this transaction for its own values.

    After some statements of one form PostgreSQL would take a plan for any values, which cannot use
    the index of names.
    """
    await connection.execute(text("SET LOCAL plan_cache_mode = force_custom_plan"))


async def uncompiled(connection: AsyncConnection) -> None:
    """Run each statement of this transaction as it is planned: compiling one takes a second, and
    pays only where rows are as many as the planner fears before it has seen the table."""
    if connection.dialect.name == "postgresql":
        await connection.execute(text("SET LOCAL jit = off"))


async def estimate(connection: AsyncConnection, query: Select[Any]) -> int:
    """How many rows the planner expects of a query."""
    answer = await connection.scalar(_Explain(query))
    plan = json.loads(answer) if isinstance(answer, str) else answer
    return int(plan[0]["Plan"]["Plan Rows"])


def sort_late(keys: Select[Any], limit: int) -> Select[Any]:
    """The first `limit` images of a query's keys, in order: all keys are found, then sorted."""
    found = keys.cte("found").prefix_with("MATERIALIZED")
    column = found.c[0]
    first = select(column).order_by(column).limit(limit).scalar_subquery()
    return select(images).where(images.c.pk.in_(first)).order_by(images.c.pk)
