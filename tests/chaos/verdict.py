"""The verdict of a chaos run: sets compared, submitted against rows, rows against objects."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import sqlalchemy
from redis.asyncio import Redis
from sqlalchemy import text
from sqlalchemy.ext.asyncio import create_async_engine

from shared.streams.keys import DEAD, IMAGES, RESULTS, SOURCES, Keys
from tests.chaos.pictures import Picture


@dataclass
class Verdict:
    """What went wrong, by name; empty lists and zeros are what is promised."""

    submitted: int
    rows: int
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    failed_wrongly: list[str] = field(default_factory=list)
    objects_missing: list[str] = field(default_factory=list)
    objects_unnamed: list[str] = field(default_factory=list)
    left_in_redis: list[str] = field(default_factory=list)
    dead_letters: int = 0
    redelivered: int = 0
    seconds_to_recover: float = 0.0

    @property
    def kept(self) -> bool:
        """Whether the promise was kept."""
        return not (
            self.lost
            or self.duplicated
            or self.failed_wrongly
            or self.objects_missing
            or self.left_in_redis
            or self.dead_letters
        )

    def __str__(self) -> str:
        return (
            f"{self.submitted} submitted, {self.rows} rows: {len(self.lost)} lost, "
            f"{len(self.duplicated)} duplicated, {len(self.failed_wrongly)} failed wrongly, "
            f"{len(self.objects_missing)} objects missing, {len(self.objects_unnamed)} objects "
            f"that no row names, {len(self.left_in_redis)} keys left in Redis, "
            f"{self.dead_letters} dead letters; {self.redelivered} redelivered, "
            f"{self.seconds_to_recover:.1f} s to recover: "
            + ("the promise was kept" if self.kept else "THE PROMISE WAS BROKEN")
        )


async def judge(
    pictures: Sequence[Picture], database_url: str, objects: Path, client: Redis, keys: Keys
) -> Verdict:
    """Compare what was submitted with the rows, the rows with the objects, and look at Redis."""
    rows = await _rows(database_url)
    names = Counter(row.name for row in rows)
    verdict = Verdict(submitted=len(pictures), rows=len(rows))
    broken = {picture.name for picture in pictures if picture.broken}
    ended = {row.name for row in rows if row.status != "queued"}
    verdict.lost = sorted(picture.name for picture in pictures if picture.name not in ended)
    verdict.duplicated = sorted(name for name, count in names.items() if count > 1)
    verdict.failed_wrongly = sorted(
        f"{row.name}: {row.reason}"
        for row in rows
        if (row.status == "failed") != (row.name in broken)
    )
    stored = {path.relative_to(objects).as_posix() for path in objects.rglob("*.jpg")}
    wanted = {f"{row.recipe}/{row.id}.jpg" for row in rows if row.status == "faces"}
    verdict.objects_missing = sorted(wanted - stored)
    verdict.objects_unnamed = sorted(stored - wanted)
    verdict.left_in_redis = await _left(client, keys)
    verdict.dead_letters = int(await client.xlen(keys.stream(DEAD)))
    return verdict


async def _rows(database_url: str) -> Sequence[sqlalchemy.Row[tuple[str, ...]]]:
    engine = create_async_engine(
        database_url.replace("postgresql://", "postgresql+asyncpg://").replace(
            "sqlite:///", "sqlite+aiosqlite:///"
        )
    )
    try:
        async with engine.connect() as connection:
            found = await connection.execute(
                text("SELECT name, id, recipe, status, reason FROM images")
            )
            return found.all()
    finally:
        await engine.dispose()


async def _left(client: Redis, keys: Keys) -> list[str]:
    """Payloads without an entry, entries, flights and bytes that should be gone."""
    left = [key.decode() async for key in client.scan_iter(keys.payload("*").replace("{", "[{]"))]
    for name in (SOURCES, IMAGES, RESULTS):
        if length := await client.xlen(keys.stream(name)):
            left.append(f"{length} entries in {name}")
        if held := int(await client.hget(keys.bytes, keys.stream(name)) or 0):
            left.append(f"{held} bytes counted in {name}")
    if flights := await client.scard(keys.in_flight):
        left.append(f"{flights} flights")
    # A payload that no entry owns goes by its expiry: a kill between its SET and its script.
    owned = []
    for key in left:
        if ":body:" in key and await client.ttl(key) >= 0:
            continue
        owned.append(key)
    return owned
