"""What became of a hostile run: of the real pictures, of each hostile kind, and of the services."""

import re
from collections import Counter, defaultdict
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from sqlalchemy import select
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from shared.catalog.schema import images
from tests.hostile.memory import MEBIBYTE, Held
from tests.hostile.reach import Sent

_ID = re.compile(rb'"id":"([0-9a-f]{32})"')

FATES = ("dead letter", "failed row", "row", "no trace")
"""What a hostile thing becomes. Edited keys, and entries of which others know nothing, leave none;
a result that is late, or of a row that nobody asked for, does not either."""


class Row(NamedTuple):
    """What is asked about one image."""

    id: str
    name: str
    recipe: str
    generation: int
    status: str
    face_count: int
    reason: str


async def rows_of(url: str) -> list[Row]:
    """All rows of a catalog."""
    driver = url.replace("postgresql://", "postgresql+asyncpg://")
    engine = create_async_engine(
        driver.replace("sqlite:///", "sqlite+aiosqlite:///"), poolclass=NullPool
    )
    try:
        async with engine.connect() as connection:
            columns = [images.c[name] for name in Row._fields]
            return [Row(*row) for row in await connection.execute(select(*columns))]
    finally:
        await engine.dispose()


@dataclass
class Verdict:
    """What went wrong, a sentence each; and what became of what was sent, by kind."""

    wrong: list[str] = field(default_factory=list)
    fates: dict[str, Counter[str]] = field(default_factory=dict)
    held: list[Held] = field(default_factory=list)
    rows: int = 0
    seconds: float = 0.0

    def __str__(self) -> str:
        lines = [_line("kind", ("sent", *FATES))]
        for kind, fates in self.fates.items():
            lines.append(_line(kind, (fates.total(), *(fates[fate] for fate in FATES))))
        lines += ["", _line("process", ("most", "limit"))]
        for one in self.held:
            told = (f"{one.peak / MEBIBYTE:.0f}", f"{one.limit / MEBIBYTE:.0f} MiB")
            lines.append(_line(one.name, told))
        lines += ["", f"{self.rows} rows, {self.seconds:.0f} s"]
        lines += [f"  {one}" for one in self.wrong[:40]]
        lines.append("everything held" if not self.wrong else f"{len(self.wrong)} THINGS ARE WRONG")
        return "\n".join(lines)


def _line(name: str, cells: Sequence[object]) -> str:
    return f"{name:<30}" + "".join(f"{cell!s:>13}" for cell in cells)


def judge_rows(
    expected: Mapping[str, int | None], recipe: str, rows: Sequence[Row], sent: Sequence[Sent]
) -> list[str]:
    """What is wrong with the rows. `expected` has the names of real pictures, and how many faces
    each shows; None: it is no picture."""
    wrong = []
    by_name: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        by_name[row.name].append(row)
    for name, faces in expected.items():
        found = [row for row in by_name[name] if row.recipe == recipe]
        told = [(row.status, row.face_count) for row in found]
        status = "failed" if faces is None else "faces" if faces else "no_faces"
        if told != [(status, faces or 0)]:
            wrong.append(f"{name}: {told} instead of one row, {status} {faces}")
    unasked = {one.image: one.kind for one in sent if one.image}
    forged = Counter(unasked[row.id] for row in rows if row.id in unasked)
    wrong += [f"{kind}: {count} rows that nobody asked for" for kind, count in forged.items()]
    return wrong


def fates_of(
    sent: Sequence[Sent], rows: Sequence[Row], letters: Collection[bytes]
) -> dict[str, Counter[str]]:
    """What became of what was sent, by kind."""
    told = {found.decode() for letter in letters for found in _ID.findall(letter)}
    statuses = {row.id: row.status for row in rows}
    fates: dict[str, Counter[str]] = defaultdict(Counter)
    for one in sent:
        if (one.encoded and one.encoded in letters) or one.image in told:
            fate = "dead letter"
        elif one.image in statuses:
            fate = "failed row" if statuses[one.image] == "failed" else "row"
        else:
            fate = "no trace"
        fates[one.kind][fate] += 1
    return dict(sorted(fates.items()))
