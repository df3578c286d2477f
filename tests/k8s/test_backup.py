"""The component "backup", and backups by hand: what they keep comes back, on a real PostgreSQL."""

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.chaos.servers import Postgres
from tests.support.asking_postgres import asking
from tests.support.backups import add_pictures, fill, mounted, pictures, rows, user
from tests.support.catalogs import run_sql
from tests.support.documented import block_with, run_documented
from tests.support.manifests import K8S, environment, named, renderings, with_components

pytestmark = [
    pytest.mark.xdist_group("kubernetes"),
    pytest.mark.timeout(400),
    pytest.mark.postgres,
]

PASSWORD = r"p@ss:/%w\n d'"
"""What a person may choose; in a URL it is escaped."""


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
    """A place for volumes that the pod's user may go through."""
    folder = Path(tempfile.mkdtemp(prefix="faces-volumes-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


def run(script: str, url: str, volume: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """A script of the component as its CronJob runs it, with folders below `volume`."""
    name = script.removesuffix(".sh")
    cron = named(with_components("backup"), "CronJob", name)
    pod = cron["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["command"] == ["bash", f"/scripts/{script}"]
    given = {entry: one["value"] for entry, one in environment(container).items() if "value" in one}
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


def in_place_of(volume: Path, script: str, *names: str) -> str:
    """The PATH on which these programs are a script."""
    programs = volume / "bin"
    programs.mkdir()
    for name in names:
        (programs / name).write_text(f"#!/bin/bash\n{script}\n")
        (programs / name).chmod(0o755)
    return f"{programs}:{os.environ['PATH']}"


@pytest.mark.parametrize(("status", "kept"), [(1, 1), (2, 0)])
async def test_a_picture_that_changes_meanwhile_spoils_no_backup_but_a_full_volume_does(
    status: int, kept: int, database: str, volume: Path
) -> None:
    backups = mounted(volume, "backups")
    mounted(volume, "objects")
    path = in_place_of(volume, f'{shutil.which("tar")} "$@"; exit {status}', "tar")
    made = run("backup.sh", database, volume, PATH=path)
    assert (made.returncode == 0) == bool(kept)
    assert len(list(backups.glob("*.tar"))) == kept


async def test_behind_a_pooler_backups_go_to_the_server_itself(database: str, volume: Path) -> None:
    mounted(volume, "backups")
    pooler = "postgresql://faces:x@127.0.0.1:1/faces"
    made = run("backup.sh", pooler, volume, DIRECT_DATABASE_URL=database)
    assert made.returncode == 0, made.stderr


def test_the_password_is_no_argument_of_any_program(volume: Path) -> None:
    mounted(volume, "backups")
    path = in_place_of(
        volume, 'echo "$@" "$PGPASSWORD" >&2; exit 3', "pg_dump", "pg_restore", "psql"
    )
    url = "postgresql+asyncpg://faces:top%20secret%2F1@pg.example/faces?sslmode=require"
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
    documents = with_components("backup")
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
