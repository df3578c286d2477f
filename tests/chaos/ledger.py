"""The rows of a chaos run, read past everything that is broken in front of the catalog."""

from datetime import datetime
from typing import NamedTuple

from sqlalchemy import func, select
from sqlalchemy.ext.asyncio import AsyncEngine, create_async_engine
from sqlalchemy.pool import NullPool

from shared.catalog.schema import images
from tests.chaos.suite import PICTURES


class Row(NamedTuple):
    """What is asked about one image."""

    name: str
    id: str
    recipe: str
    status: str
    reason: str
    code: str | None
    attempts: int
    committed_at: datetime | None

    @property
    def ended(self) -> bool:
        return self.status != "queued"


class Progress(NamedTuple):
    """How far the pictures are: how many have ended, and whether any was committed since."""

    ended: int
    committed_since: bool


class Ledger:
    """Reads the catalog at a URL. It keeps no connection: a database is renamed without any."""

    def __init__(self, url: str) -> None:
        self._engine: AsyncEngine = create_async_engine(
            url.replace("postgresql://", "postgresql+asyncpg://").replace(
                "sqlite:///", "sqlite+aiosqlite:///"
            ),
            poolclass=NullPool,
        )

    async def rows(self) -> list[Row]:
        """All rows."""
        columns = [images.c[name] for name in Row._fields]
        async with self._engine.connect() as connection:
            return [Row(*row) for row in await connection.execute(select(*columns))]

    async def progress(self, since: datetime, *, of_bucket: bool) -> Progress:
        """How far all pictures are, or those of the bucket."""
        query = select(
            func.count(), func.coalesce(func.max(images.c.committed_at), since) > since
        ).where(images.c.status != "queued")
        if of_bucket:
            query = query.where(images.c.source_uri.like(f"s3://{PICTURES}/%"))
        async with self._engine.connect() as connection:
            ended, committed_since = (await connection.execute(query)).one()
            return Progress(ended, bool(committed_since))

    async def close(self) -> None:
        """Forget the driver's threads and types."""
        await self._engine.dispose()
