"""After an outage: whether the tables are whole, and of this version."""

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from shared.catalog.migrations import STEPS, Transacting, migrate
from shared.errors import Unreachable


async def renew(reading: Transacting, writing: Transacting) -> None:
    """Bring tables up to date that may have been restored from a backup of an older program.

    While they are being restored nothing is made: what is made here would be in the way.

    Raises:
        Unreachable: they are not whole, or a newer program made them.
    """
    async with reading() as connection:
        found = await version_of(connection)
    if found < len(STEPS):
        await migrate(writing)


async def version_of(connection: AsyncConnection) -> int:
    """Which version tables have that are whole, and no newer than this program.

    Raises:
        Unreachable: they are not whole, or a newer program made them.
    """
    found = int(await connection.scalar(text("SELECT max(version) FROM schema_version")) or 0)
    postgres = connection.dialect.name == "postgresql"
    if not found or (postgres and not await _has_foreign_keys(connection, found)):
        raise Unreachable("the catalog is being restored: its tables are not whole yet")
    if found > len(STEPS):
        raise Unreachable(
            f"the catalog has schema version {found}, made by a newer program; this one knows "
            f"version {len(STEPS)}: start the newer program"
        )
    return found


async def _has_foreign_keys(connection: AsyncConnection, version: int) -> bool:
    """Whether tables of this version have theirs: a restore makes them last, behind all rows."""
    expected = sum(
        statement.count(" REFERENCES ") for step in STEPS[:version] for statement in step
    )
    there = await connection.scalar(
        text(
            "SELECT count(*) FROM pg_constraint WHERE contype = 'f' AND connamespace = "
            "(SELECT relnamespace FROM pg_class WHERE oid = to_regclass('schema_version'))"
        )
    )
    return (there or 0) >= expected
