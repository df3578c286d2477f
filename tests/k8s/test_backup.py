"""The component "backup", and backups by hand: what they keep comes back, on a real PostgreSQL."""

import os
import secrets
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import asyncpg  # type: ignore[import-untyped]
import pytest

from shared.catalog import Catalog
from tests.chaos.servers import Postgres
from tests.support.catalogs import result_of, run_sql, some_images, step_of
from tests.support.documented import block_with, run_documented
from tests.support.manifests import K8S, environment, named, renderings
from tests.support.asking_postgres import asking

pytestmark = [
    pytest.mark.xdist_group("kubernetes"),
    pytest.mark.timeout(400),
    pytest.mark.postgres,
]

PASSWORD = r"p@ss:/%w\n d'"
"""What a person may choose; in a URL it is escaped."""

OWNER = 10001
"""The writer's user."""


@pytest.fixture(scope="module")
def server() -> Iterator[Postgres]:
    with asking("faces") as running:
        yield running


@pytest.fixture
async def database(server: Postgres) -> str:
    """URL of an empty database whose owner is no superuser, as a server of one's own has it."""
    await run_sql(
        server.url,
        "DROP DATABASE IF EXISTS faces WITH (FORCE)",
        "DROP ROLE IF EXISTS faces",
        "CREATE ROLE faces LOGIN PASSWORD '{}'".format(PASSWORD.replace("'", "''")),
        "CREATE DATABASE faces OWNER faces",
    )
    return f"postgresql://faces:{quote(PASSWORD, safe='')}@127.0.0.1:{server.port}/faces"


@pytest.fixture
def volume() -> Iterator[Path]:
    """A folder as Kubernetes mounts one: of root, and of the group of the pod's user."""
    folder = Path(tempfile.mkdtemp(prefix="faces-volumes-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def mounted(volume: Path, name: str) -> Path:
    folder = volume / name
    folder.mkdir()
    if os.geteuid() == 0:
        os.chown(folder, 0, OWNER)
        folder.chmod(0o2775)
    return folder


def user() -> dict[str, Any]:  # Any: arguments of subprocess
    return {"user": OWNER, "group": OWNER, "extra_groups": []} if os.geteuid() == 0 else {}


def run(script: str, url: str, volume: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """A script of the component as its CronJob runs it, with folders below `volume`."""
    name = script.removesuffix(".sh")
    cron = named(renderings()[("backup",)], "CronJob", name)
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["command"] == ["bash", f"/scripts/{script}"]
    given = {entry: str(one.get("value")) for entry, one in environment(container).items()}
    for variable in ("BACKUPS", "OBJECTS"):
        given[variable] = f"{volume}{given[variable]}"
    scripts = volume / "scripts"
    shutil.copytree(K8S / "components" / "backup", scripts, dirs_exist_ok=True)
    scripts.chmod(0o755)
    return subprocess.run(
        ["bash", str(scripts / script)],
        check=False,
        env={"PATH": os.environ["PATH"], **given, "FACES_DATABASE_URL": url, **more},
        capture_output=True,
        text=True,
        timeout=120,
        cwd="/",
        **user(),
    )


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
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def add_pictures(folder: Path, count: int) -> None:
    recipe = folder / "yunet-test"
    recipe.mkdir(exist_ok=True)
    for _ in range(count):
        (recipe / f"{secrets.token_hex(16)}.jpg").write_bytes(secrets.token_bytes(1000))
    if os.geteuid() == 0:
        for path in (recipe, *recipe.iterdir()):
            os.chown(path, OWNER, OWNER)


async def test_a_backup_comes_back_with_every_row_and_every_picture(
    database: str, volume: Path
) -> None:
    backups, objects = mounted(volume, "backups"), mounted(volume, "objects")
    await fill(database, 30)
    add_pictures(objects, 20)
    had, had_pictures = await rows(database), pictures(objects)
    assert len(had["images"]) == 30 and len(had["found_faces"]) == 58

    made = run("backup.sh", database, volume)
    assert made.returncode == 0, made.stderr
    assert made.stdout.count("faces-") == len(list(backups.iterdir())) == 2

    await run_sql(database, "DELETE FROM memberships", "DELETE FROM images")
    await run_sql(database, "CREATE TABLE of_a_newer_version (image BIGINT REFERENCES images (pk))")
    shutil.rmtree(objects / "yunet-test")
    put_back = run("restore.sh", database, volume)
    assert put_back.returncode == 0, put_back.stderr
    assert await rows(database) == had
    assert pictures(objects) == had_pictures
    await fill(database, 2)  # a program goes on with it


async def test_a_restore_that_is_cut_short_changes_no_row(database: str, volume: Path) -> None:
    backups = mounted(volume, "backups")
    await fill(database, 200)
    assert run("backup.sh", database, volume).returncode == 0
    await fill(database, 3)
    had = await rows(database)

    [dump] = backups.iterdir()
    dump.write_bytes(dump.read_bytes()[:-2000])
    assert run("restore.sh", database, volume).returncode != 0
    assert await rows(database) == had


async def test_the_newest_are_kept_and_any_can_be_put_back(database: str, volume: Path) -> None:
    backups, objects = mounted(volume, "backups"), mounted(volume, "objects")
    await fill(database, 3)
    add_pictures(objects, 1)
    had = await rows(database)
    assert run("backup.sh", database, volume).returncode == 0
    [dump], [archive] = (list(backups.glob(f"*.{kind}")) for kind in ("dump", "tar"))
    for night in range(1, 10):
        dump.with_name(f"faces-2020010{night}T031700Z.dump").write_bytes(dump.read_bytes())
        archive.with_name(f"faces-2020010{night}T031700Z.tar").write_bytes(b"")
    (backups / "faces-20200109T031700Z.dump.part").write_bytes(b"cut short")
    dump.unlink()
    archive.unlink()

    await fill(database, 2)
    assert run("backup.sh", database, volume, KEEP="4").returncode == 0
    assert [path.name for path in sorted(backups.glob("*.dump"))][:3] == [
        f"faces-2020010{night}T031700Z.dump" for night in (7, 8, 9)
    ]
    assert len(list(backups.glob("*.tar"))) == 2
    assert not list(backups.glob("*.part"))

    restored = run("restore.sh", database, volume, STAMP="20200108T031700Z", OBJECTS="/nowhere")
    assert restored.returncode == 0, restored.stderr
    assert await rows(database) == had


async def test_what_cannot_be_made_leaves_nothing_that_looks_like_a_backup(
    database: str, volume: Path
) -> None:
    backups = mounted(volume, "backups")
    wrong = database.replace("faces:", "faces:not-", 1)
    failed = run("backup.sh", wrong, volume)
    assert failed.returncode != 0 and "password authentication failed" in failed.stderr
    assert PASSWORD not in failed.stderr and quote(PASSWORD, safe="") not in failed.stderr
    assert not [path for path in backups.iterdir() if path.suffix != ".part"]

    nothing = run("restore.sh", database, volume)
    assert nothing.returncode == 2 and "there is no faces-*.dump" in nothing.stderr


def test_the_password_is_no_argument_of_any_program(volume: Path, tmp_path: Path) -> None:
    mounted(volume, "backups")
    programs = volume / "bin"
    programs.mkdir()
    for name in ("pg_dump", "pg_restore", "psql"):
        (programs / name).write_text('#!/bin/bash\necho "$@" "$PGPASSWORD" >&2\nexit 3\n')
        (programs / name).chmod(0o755)
    url = "postgresql+asyncpg://faces:top%20secret%2F1@pg.example/faces?sslmode=require"
    path = f"{programs}:{os.environ['PATH']}"
    said = run("backup.sh", url, volume, PATH=path)
    assert said.returncode == 3
    assert "--dbname=postgresql://faces@pg.example/faces?sslmode=require " in said.stderr
    assert said.stderr.endswith(" top secret/1\n"), "by the environment, as it is"


async def test_the_backup_by_hand_comes_back_by_the_documented_commands(
    server: Postgres, database: str, volume: Path
) -> None:
    await run_sql(server.url, "ALTER ROLE faces SUPERUSER")  # as of the bundled server
    objects = mounted(volume, "objects")
    await fill(database, 30)
    add_pictures(objects, 20)
    had, had_pictures = await rows(database), pictures(objects)
    (volume / "secret").write_text("kind: Secret\n")
    stand_ins = {
        "STAND_IN_OBJECTS": str(objects),
        "STAND_IN_SECRET": str(volume / "secret"),
        "PGHOST": "127.0.0.1",
        "PGPORT": str(server.port),
        "PGPASSWORD": PASSWORD,
    }
    run_documented(block_with("> objects.tar"), volume, stand_ins)
    await fill(database, 4)
    shutil.rmtree(objects / "yunet-test")

    run_documented(block_with("< objects.tar"), volume, stand_ins)
    assert await rows(database) == had
    assert pictures(objects) == had_pictures
    assert (volume / "faces-secrets.yaml").read_text() == "kind: Secret\n"


def test_backups_do_not_overlap_and_a_restore_never_starts_by_itself() -> None:
    documents = renderings()[("backup",)]
    backup, restore = (named(documents, "CronJob", name)["spec"] for name in ("backup", "restore"))
    assert backup["concurrencyPolicy"] == restore["concurrencyPolicy"] == "Forbid"
    assert not backup.get("suspend") and restore["suspend"] is True
    assert restore["jobTemplate"]["spec"]["backoffLimit"] == 0


def test_backups_reach_the_volume_of_pictures_on_the_writers_node_and_only_read_it() -> None:
    for chosen, documents in renderings().items():
        if "backup" not in chosen:
            continue
        spec = named(documents, "CronJob", "backup")["spec"]["jobTemplate"]["spec"]["template"][
            "spec"
        ]
        mounts = {one["mountPath"]: one for one in spec["containers"][0]["volumeMounts"]}
        writer = named(documents, "Deployment", "writer")["spec"]["template"]["spec"]
        assert spec["securityContext"] == writer["securityContext"], "whose files these are"
        if "bucket" in chosen:
            assert "/objects" not in mounts and not spec.get("affinity")
        else:
            assert mounts["/objects"]["readOnly"] is True
            assert spec["affinity"] == writer["affinity"]
