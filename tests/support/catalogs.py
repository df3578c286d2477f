"""Catalogs for tests, on SQLite and on a PostgreSQL database of their own; and values for them."""

import asyncio
import secrets
from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy.engine import make_url

from shared.catalog import Catalog, Expansion, QueuedImage
from shared.messages import Face, ResultMessage, Status, new_token, now
from shared.reasons import Reason
from shared.recipe import Recipe
from tests.support.servers import POSTGRES_SERVER, absent

RECIPE = Recipe(model="yunet", model_version="test")
FACE = Face(x=10.5, y=20.25, w=30, h=40, score=0.9, landmarks=(1.5, 2, 3, 4, 5, 6, 7, 8, 9, 10))


async def run_sql(url: str, *statements: str) -> None:
    """Run statements one by one, outside of a transaction."""
    connection = await asyncpg.connect(url, timeout=60)
    try:
        for statement in statements:
            await connection.execute(statement)
    finally:
        await connection.close()


@pytest.fixture(scope="session")
def _own_database() -> Iterator[str]:
    """URL of a PostgreSQL database that lives as long as the test session."""
    name = f"faces_test_{secrets.token_hex(6)}"
    try:
        asyncio.run(run_sql(POSTGRES_SERVER, f"CREATE DATABASE {name}"))
    except (OSError, TimeoutError):
        absent(f"PostgreSQL on {make_url(POSTGRES_SERVER).host}")
    yield make_url(POSTGRES_SERVER).set(database=name).render_as_string(hide_password=False)
    asyncio.run(run_sql(POSTGRES_SERVER, f"DROP DATABASE {name} WITH (FORCE)"))


@pytest.fixture
async def empty_postgres(_own_database: str) -> str:
    """URL of a PostgreSQL database without a table."""
    await run_sql(_own_database, "DROP SCHEMA public CASCADE", "CREATE SCHEMA public")
    return _own_database


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def catalog_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of an empty database, once of each kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/faces.db"
    url: str = request.getfixturevalue("empty_postgres")
    return url


@pytest.fixture
async def catalog(catalog_url: str) -> AsyncIterator[Catalog]:
    """An open, empty catalog, once of each kind."""
    opened = await Catalog.open(catalog_url)
    yield opened
    await opened.close()


def some_images(count: int, folder: str = "holiday") -> list[QueuedImage]:
    """Pictures of a folder, by reference."""
    return [
        QueuedImage(
            new_token(), f"{folder}/{n:06}.jpg", f"file:///{folder}/{n:06}.jpg", f"{n}-1", 1000 + n
        )
        for n in range(count)
    ]


def step_of(
    images: Sequence[QueuedImage],
    submission: str = "5" * 32,
    *,
    part: int = 0,
    before: str = "",
    after: str | None = None,
    at: datetime | None = None,
    recipe: Recipe = RECIPE,
) -> Expansion:
    """A step of an expansion; by default the only one of its part."""
    return Expansion(
        submission, "holiday", at or now(), part, "file:///holiday", recipe, before, after, images
    )


def result_of(
    image: QueuedImage, generation: int = 1, **fields: Any
) -> ResultMessage:  # Any: fields
    """What a detector says of an image: two faces, unless `fields` say something else."""
    told: dict[str, Any] = {
        "submission": "5" * 32,
        "trace": "7" * 32,
        "recipe": RECIPE,
        "id": image.id,
        "name": image.name,
        "source_uri": image.source_uri,
        "generation": generation,
        "status": Status.FACES,
        "faces": (FACE, FACE),
        "width": 640,
        "height": 480,
        "format": "JPEG",
        "consumer": "detector-1",
        "detect_ms": 20.5,
    }
    return ResultMessage.model_validate(told | fields)


def nothing_found(image: QueuedImage, generation: int = 1) -> ResultMessage:
    """A picture without a face."""
    return result_of(image, generation, status=Status.NO_FACES, faces=())


def failure(
    image: QueuedImage,
    generation: int = 1,
    reason: str = "not a picture",
    code: str | None = Reason.UNKNOWN_FORMAT,
) -> ResultMessage:
    """A picture that could not be searched."""
    return result_of(image, generation, status=Status.FAILED, faces=(), reason=reason, code=code)
