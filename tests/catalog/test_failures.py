"""Whose fault a database's error is: of this value, or of nobody, which is the rule."""

import shutil
import sqlite3
from pathlib import Path

import asyncpg  # type: ignore[import-untyped]
import pytest

from shared.catalog import Catalog, Refused
from shared.catalog.failures import explain
from shared.errors import LoginRefused, Unreachable
from tests.support.catalogs import result_of, some_images, step_of

ONE = "1" * 32

ALL: dict[str, type[Exception]] = {
    state: error
    for error in vars(asyncpg.exceptions).values()
    if isinstance(error, type)
    and issubclass(error, Exception)
    and (state := getattr(error, "sqlstate", None))
}
"""Every error of PostgreSQL's that the driver knows, by its code."""


def whose(error: Exception) -> type[Exception]:
    return type(explain(error, "PostgreSQL at host:5432", lost=False))


def test_values_are_blamed_by_few_codes_and_all_others_are_outages() -> None:
    blaming = {state for state, error in ALL.items() if whose(error("told")) is Refused}

    assert len(ALL) > 200
    assert blaming == {state for state in ALL if state[:2] in ("22", "23", "44")} | {"54000"}


def test_a_refused_login_is_an_outage_of_its_own_kind() -> None:
    refusing = {state for state, error in ALL.items() if whose(error("told")) is LoginRefused}

    assert refusing == {"28000", "28P01", "3D000"}


def test_what_a_lost_connection_said_last_blames_no_value() -> None:
    error = explain(asyncpg.UniqueViolationError("told"), "PostgreSQL at host:5432", lost=True)

    assert isinstance(error, Unreachable)


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (sqlite3.IntegrityError("UNIQUE constraint failed"), Refused),
        (sqlite3.DataError("string or blob too big"), Refused),
        (sqlite3.OperationalError("no such table: images"), Unreachable),
        (sqlite3.OperationalError("attempt to write a readonly database"), Unreachable),
        (sqlite3.DatabaseError("database disk image is malformed"), Unreachable),
        (sqlite3.DatabaseError("file is not a database"), Unreachable),
        (sqlite3.ProgrammingError("Cannot operate on a closed database."), Unreachable),
    ],
)
def test_sqlite_blames_values_by_few_kinds_too(error: Exception, kind: type[Exception]) -> None:
    assert whose(error) is kind


async def test_a_name_that_no_index_can_hold_is_refused_and_its_neighbours_are_not(
    empty_postgres: str,
) -> None:
    catalog = await Catalog.open(empty_postgres)
    long = "".join(chr(0x4E00 + n * 7919 % 20000) for n in range(1300))
    (image,) = some_images(1, folder=long)

    with pytest.raises(Refused, match="index row"):
        await catalog.ledger.queue(step_of([image], ONE))

    assert len(await catalog.ledger.queue(step_of(some_images(2), ONE))) == 2
    await catalog.close()


async def test_a_sqlite_file_that_is_damaged_is_waited_for_until_it_is_put_back(
    tmp_path: Path,
) -> None:
    file = tmp_path / "faces.db"
    catalog = await Catalog.open(f"sqlite:///{file}")
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image], ONE))
    await catalog._database.engine.dispose()  # so that all of it is in the file
    whole = file.read_bytes()

    file.write_bytes(b"this is a letter" * 1000)
    for _ in range(2):
        with pytest.raises(Unreachable, match="not a database"):
            await catalog.ledger.commit([result_of(image)])
    with pytest.raises(Unreachable, match="not a database"):
        await catalog.check()

    file.write_bytes(whole)
    assert (await catalog.ledger.commit([result_of(image)])).won == 1
    await catalog.check()
    await catalog.close()


async def test_a_sqlite_file_that_is_gone_is_waited_for_and_not_made_anew(tmp_path: Path) -> None:
    folder = tmp_path / "mounted"
    folder.mkdir()
    catalog = await Catalog.open(f"sqlite:///{folder}/faces.db")
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image], ONE))
    await catalog._database.engine.dispose()

    folder.rename(tmp_path / "unmounted")
    for _ in range(2):
        with pytest.raises(Unreachable, match="unable to open"):
            await catalog.ledger.commit([result_of(image)])
    folder.mkdir()  # as the empty place of a volume that is not mounted
    for _ in range(2):
        with pytest.raises(Unreachable, match="unable to open"):
            await catalog.ledger.commit([result_of(image)])

    folder.rmdir()  # nothing was made there
    (tmp_path / "unmounted").rename(folder)
    assert (await catalog.ledger.commit([result_of(image)])).won == 1
    await catalog.close()


async def test_nothing_is_written_into_a_sqlite_file_that_was_deleted(tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    catalog = await Catalog.open(f"sqlite:///{folder}/faces.db")
    (image,) = some_images(1)
    await catalog.ledger.queue(step_of([image], ONE))
    await catalog._database.engine.dispose()  # so that all of it is in the file
    shutil.copytree(folder, tmp_path / "backup")
    await catalog.check()  # a connection is open again

    shutil.rmtree(folder)
    with pytest.raises(Unreachable, match="unable to open"):
        await catalog.ledger.commit([result_of(image)])

    shutil.copytree(tmp_path / "backup", folder)
    assert (await catalog.ledger.commit([result_of(image)])).won == 1
    await catalog.close()
