"""The verdict of a chaos run: sets compared, submitted against rows, rows against objects."""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from redis.asyncio import Redis

from shared.streams.keys import DEAD, IMAGES, RESULTS, SOURCES, Keys
from tests.chaos.ledger import Row
from tests.chaos.pictures import Picture
from tests.chaos.recovery import Recovery
from tests.chaos.suite import STORE_FOLDER


@dataclass
class Verdict:
    """What went wrong, by name; empty lists and zeros are what is promised.

    Attributes:
        blamed: good pictures on which an attempt was counted: outages are nobody's fault, and
            processes that are killed count none.
        ended_by_themselves: services that ended though nobody had told them to.
        lost_before: pictures that failovers lost, before they were mended as the documents say.
        recoveries: the outages, and how long work took to go on.
    """

    submitted: int
    rows: int
    lost: list[str] = field(default_factory=list)
    duplicated: list[str] = field(default_factory=list)
    failed_wrongly: list[str] = field(default_factory=list)
    blamed: list[str] = field(default_factory=list)
    objects_missing: list[str] = field(default_factory=list)
    objects_unnamed: list[str] = field(default_factory=list)
    left_in_redis: list[str] = field(default_factory=list)
    ended_by_themselves: list[str] = field(default_factory=list)
    dead_letters: int = 0
    redelivered: int = 0
    lost_before: int = 0
    failovers: int = 0
    seconds_to_recover: float = 0.0
    recoveries: list[Recovery] = field(default_factory=list)

    @property
    def breaches(self) -> dict[str, list[str]]:
        """What was promised and not kept, by name."""
        return {
            name: found
            for name in (
                "lost",
                "duplicated",
                "failed_wrongly",
                "blamed",
                "objects_missing",
                "left_in_redis",
                "ended_by_themselves",
            )
            if (found := getattr(self, name))
        }

    @property
    def kept(self) -> bool:
        """Whether the promise was kept; how fast is another question."""
        return not self.breaches and not self.dead_letters

    @property
    def late(self) -> list[Recovery]:
        """The outages after which work did not go on in time."""
        return [one for one in self.recoveries if one.late]

    def __str__(self) -> str:
        failovers = (
            f"{self.failovers} failovers had lost {self.lost_before} before they were mended; "
            if self.failovers
            else ""
        )
        return (
            f"{self.submitted} submitted, {self.rows} rows: {len(self.lost)} lost, "
            f"{len(self.duplicated)} duplicated, {len(self.failed_wrongly)} failed wrongly, "
            f"{len(self.blamed)} blamed for an outage, "
            f"{len(self.objects_missing)} objects missing, {len(self.objects_unnamed)} objects "
            f"that no row names, {len(self.left_in_redis)} keys left in Redis, "
            f"{self.dead_letters} dead letters, {len(self.ended_by_themselves)} services that "
            f"ended by themselves; {failovers}{self.redelivered} redelivered, "
            f"{len(self.late)} of {len(self.recoveries)} outages recovered late, "
            f"{self.seconds_to_recover:.1f} s to recover: "
            + ("the promise was kept" if self.kept else "THE PROMISE WAS BROKEN")
        )


async def judge(
    pictures: Sequence[Picture],
    rows: Sequence[Row],
    stored: Collection[str],
    client: Redis,
    keys: Keys,
) -> Verdict:
    """Compare what was submitted with the rows, the rows with the objects, and look at Redis.

    `stored`: the keys of all objects.
    """
    names = Counter(row.name for row in rows)
    verdict = Verdict(submitted=len(pictures), rows=len(rows))
    broken = {picture.name for picture in pictures if picture.broken}
    ended = {row.name for row in rows if row.ended}
    verdict.lost = sorted(picture.name for picture in pictures if picture.name not in ended)
    verdict.duplicated = sorted(name for name, count in names.items() if count > 1)
    verdict.failed_wrongly = sorted(
        f"{row.name}: {row.reason}"
        for row in rows
        if (row.status == "failed") != (row.name in broken)
    )
    verdict.blamed = sorted(
        f"{row.name}: {row.attempts} attempts"
        for row in rows
        if row.attempts > 1 and row.name not in broken
    )
    wanted = {f"{STORE_FOLDER}/{row.recipe}/{row.id}.jpg" for row in rows if row.status == "faces"}
    verdict.objects_missing = sorted(wanted - set(stored))
    verdict.objects_unnamed = sorted(set(stored) - wanted)
    verdict.left_in_redis = await _left(client, keys)
    verdict.dead_letters = int(await client.xlen(keys.stream(DEAD)))
    return verdict


async def _left(client: Redis, keys: Keys) -> list[str]:
    """Payloads without an entry, entries, flights and bytes that should be gone."""
    left = [key.decode() async for key in client.scan_iter(keys.payload("*").replace("{", "[{]"))]
    for name in (SOURCES, IMAGES, RESULTS):
        if length := await client.xlen(keys.stream(name)):
            left.append(f"{length} entries in {name}")
        if waiting := await client.zcard(keys.due(name)):
            left.append(f"{waiting} entries of {name} put off")
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
