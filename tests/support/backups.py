"""Volumes as pods have them, and what a catalog and its pictures hold, for tests of backups."""

import os
import secrets
from pathlib import Path
from typing import Any

import asyncpg  # type: ignore[import-untyped]

from shared.catalog import Catalog
from tests.support.catalogs import result_of, some_images, step_of

OWNER = 10001
"""The writer's user."""


def mounted(volume: Path, name: str) -> Path:
    """A folder as Kubernetes mounts one: of root, and of the group of the pod's user."""
    folder = volume / name
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, 0, OWNER)
        folder.chmod(0o2775)
    return folder


def user() -> dict[str, Any]:  # Any: arguments of subprocess
    """Arguments that start a process as the pod's user, where we may."""
    return {"user": OWNER, "group": OWNER, "extra_groups": []} if os.geteuid() == 0 else {}


async def fill(url: str, count: int) -> None:
    """Pictures with faces, and one that waits."""
    catalog = await Catalog.open(url)
    try:
        images = some_images(count, secrets.token_hex(4))
        await catalog.ledger.queue(step_of(images, secrets.token_hex(16)))
        await catalog.ledger.commit([result_of(image) for image in images[1:]])
    finally:
        await catalog.close()


async def rows(url: str) -> dict[str, list[tuple[Any, ...]]]:  # Any: columns of all types
    """Every row of every table."""
    connection = await asyncpg.connect(url)
    try:
        tables = await connection.fetch(
            "SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY tablename"
        )
        return {
            name: sorted(
                tuple(row) for row in await connection.fetch(f"SELECT {name}::text FROM {name}")
            )
            for (name,) in tables
        }
    finally:
        await connection.close()


def pictures(folder: Path) -> dict[str, bytes]:
    """Every file below a folder."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def add_pictures(folder: Path, count: int) -> None:
    """Objects of the writer."""
    recipe = folder / "yunet-test"
    recipe.mkdir(exist_ok=True)
    for _ in range(count):
        (recipe / f"{secrets.token_hex(16)}.jpg").write_bytes(secrets.token_bytes(1000))
    if os.geteuid() == 0:
        for path in (recipe, *recipe.iterdir()):
            os.chown(path, OWNER, OWNER)
