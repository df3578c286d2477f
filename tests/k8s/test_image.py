"""The image: what its recipe says, and (by `make image-test`) that it runs as a cluster would."""

import asyncio
import json
import os
import re
import secrets
import shutil
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import asyncpg  # type: ignore[import-untyped]
import pytest
import redis

from tests.support.containers import IMAGE, ROOT, NoContainers, Podman, base_image, inspect
from tests.support.manifests import base, named
from tests.support.servers import POSTGRES_SERVER, SHARED, RedisServer, free_port
from tests.support.waiting import wait_until

LIMIT_BYTES = 600_000_000
SERVICES = ("ingest", "detector", "writer")

pytestmark = pytest.mark.timeout(400)

asked_for = pytest.mark.skipif(
    os.environ.get("FACES_IMAGE_TEST") != "1",
    reason="builds an image and takes minutes: make image-test",
)


def dockerfile() -> str:
    return (ROOT / "Dockerfile").read_text()


def test_any_base_can_be_given() -> None:
    assert "ARG BASE=python:3.13-slim-bookworm\n" in dockerfile()
    assert re.findall(r"^FROM (.+)$", dockerfile(), re.M) == ["${BASE} AS build", "${BASE}"]


def test_every_download_is_checked_against_a_hash() -> None:
    installs = re.findall(r"pip (?:--python \S+ )?install((?:.|\\\n)+?)(?:&&|\n\n)", dockerfile())
    assert len(installs) == 3
    for options in installs:
        assert "--require-hashes" in options or "--no-index" in options


def test_it_runs_the_program_itself_as_a_numeric_user() -> None:
    assert 'ENTRYPOINT ["faces"]\n' in dockerfile(), "exec form: signals reach the program"
    user = re.search(r"^USER (\d+):(\d+)$", dockerfile(), re.M)
    assert user
    context = named(base(), "Deployment", "detector")["spec"]["template"]["spec"]["securityContext"]
    assert (int(user[1]), int(user[2])) == (context["runAsUser"], context["runAsGroup"])


def test_its_port_is_the_one_of_the_manifests() -> None:
    settings = named(base(), "ConfigMap", "settings")["data"]
    for name in ("FACES_HTTP_PORT", "FACES_HTTP_HOST", "FACES_LOG_FORMAT"):
        value = re.search(rf"{name}=(\S+)", dockerfile())
        assert value and value[1] == settings[name], name


def test_nothing_of_the_build_machine_gets_into_the_context() -> None:
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert ignored[0] == "*"
    wanted = set(re.findall(r"^COPY (?!--from)(.+) \S+$", dockerfile(), re.M))
    files = {file for line in wanted for file in line.split()}
    assert files <= {line.removeprefix("!") for line in ignored if line.startswith("!")}


@pytest.fixture(scope="module")
def podman(tmp_path_factory: pytest.TempPathFactory) -> Podman:
    """podman with our image built; skips, with the reason, where that cannot be."""
    try:
        engine = Podman.here()
    except NoContainers as reason:
        pytest.skip(str(reason))
    context = tmp_path_factory.mktemp("context")
    for name in ("Dockerfile", ".dockerignore", "LICENSE", "README.md", "pyproject.toml"):
        shutil.copy(ROOT / name, context)
    for name in ("requirements.txt", "requirements-dev.txt"):
        shutil.copy(ROOT / name, context)
    for name in ("services", "shared"):
        shutil.copytree(ROOT / name, context / name)
    for weights in (ROOT / "models", SHARED / "models"):
        if weights.is_dir():
            shutil.copytree(weights, context / "models", dirs_exist_ok=True)
    engine.build(context, base_image())
    return engine


@asked_for
@pytest.mark.timeout(1800)
def test_it_is_small_and_has_no_installer(podman: Podman) -> None:
    size = int(inspect("{{.Size}}"))
    print(f"image: {size:,} bytes on a base of {int(inspect('{{.Size}}', base_image())):,}")
    assert size < LIMIT_BYTES
    found = podman.run("--entrypoint=python", IMAGE, "-c", "import pip")
    assert found.returncode != 0


@asked_for
@pytest.mark.timeout(600)
def test_a_container_has_no_rights_and_cannot_write_its_root(podman: Podman) -> None:
    script = (
        "id -u; id -g; grep CapEff /proc/self/status; touch /opt/x 2>&1; touch /tmp/x && echo ok"
    )
    said = podman.run("--entrypoint=sh", IMAGE, "-c", script).stdout.split("\n")
    print("container:", said[:5])
    assert said[:2] == ["10001", "10001"]
    assert int(said[2].split()[1], 16) == 0
    assert "Read-only file system" in said[3]
    assert said[4] == "ok"


@asked_for
@pytest.mark.timeout(600)
def test_the_model_is_baked_in_and_verified(podman: Podman) -> None:
    listed = podman.run(IMAGE, "models", "list", "--json")
    assert listed.returncode == 0, listed.stderr
    assert next(row["name"] for row in json.loads(listed.stdout) if row["present"]) == "yunet"


@asked_for
@pytest.mark.timeout(600)
def test_the_bootstrap_job_starts(podman: Podman) -> None:
    command = named(base(), "Job", "bootstrap")["spec"]["template"]["spec"]["containers"][0][
        "command"
    ]
    answer = podman.run(f"--entrypoint={command[0]}", IMAGE, *command[1:])
    assert "SECRET and KEYS" in answer.stderr


class Suite:
    """The three services in containers, on a Redis with a password and a catalog of their own."""

    def __init__(self, podman: Podman, folder: Path, redis_url: str, database: str) -> None:
        self.podman = podman
        self.folder = folder
        self.ports = {name: free_port() for name in SERVICES}
        self.names = {name: f"faces-{name}-{secrets.token_hex(4)}" for name in SERVICES}
        self.processes: dict[str, subprocess.Popen[str]] = {}
        data = folder / "data"
        (data / "objects").mkdir(parents=True)
        for path in (data, data / "objects"):
            os.chown(path, 10001, 10001)
        settings = named(base(), "ConfigMap", "settings")["data"]
        self.environment = {
            **settings,
            "FACES_HTTP_HOST": "127.0.0.1",
            "FACES_REDIS_URL": redis_url,
            "FACES_DATABASE_URL": database,
            "FACES_OBJECTS_URL": "file:///data/objects",
        }

    def flags(self, **more: str) -> list[str]:
        given = {**self.environment, **more}
        return [f"--env={name}={value}" for name, value in given.items()]

    def start(self, service: str) -> None:
        port = str(self.ports[service])
        command = self.podman.command(
            *self.flags(FACES_HTTP_PORT=port),
            f"--name={self.names[service]}",
            f"--volume={self.folder}/data:/data",
            IMAGE,
            service,
        )
        with (self.folder / f"{service}.log").open("w") as log:
            self.processes[service] = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, text=True
            )

    async def ready(self, service: str) -> None:
        url = f"http://127.0.0.1:{self.ports[service]}/readyz"

        async def answers() -> bool:
            assert self.processes[service].poll() is None, self.log(service)
            return await asyncio.to_thread(_is_ok, url)

        await wait_until(answers, f"{service} is ready\n{self.log(service)}", timeout=60)

    def log(self, service: str) -> str:
        return (self.folder / f"{service}.log").read_text()

    def faces(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        volumes = [f"--volume={self.folder}/data:/data", f"--volume={self.folder}/in:/pictures:ro"]
        return self.podman.run(*self.flags(), *volumes, IMAGE, *arguments)

    def stop(self, service: str) -> int:
        """As Kubernetes does: SIGTERM, then wait for the grace period."""
        subprocess.run(["podman", "stop", "--time=90", self.names[service]], check=True)
        return self.processes.pop(service).wait(timeout=30)

    def kill(self) -> None:
        for service in list(self.processes):
            subprocess.run(["podman", "rm", "--force", self.names[service]], check=False)
            self.processes.pop(service).wait(timeout=30)


def _is_ok(url: str) -> bool:
    try:
        with urlopen(url, timeout=5) as answer:
            return bool(answer.status == 200)
    except HTTPError as error:
        error.close()
        return False
    except URLError:
        return False


@pytest.fixture
async def database() -> AsyncIterator[str]:
    """A database of this test's own, or a file where there is no PostgreSQL."""
    url = POSTGRES_SERVER
    try:
        connection = await asyncpg.connect(url, timeout=5)
    except OSError:
        yield "sqlite:////data/faces.db"
        return
    name = f"faces_image_{secrets.token_hex(4)}"
    await connection.execute(f"CREATE DATABASE {name}")
    yield f"{url.rpartition('/')[0]}/{name}"
    await connection.execute(f"DROP DATABASE {name} WITH (FORCE)")
    await connection.close()


@pytest.fixture
def suite(podman: Podman, tmp_path: Path, database: str) -> Iterator[Suite]:
    password = secrets.token_hex(8)
    server = RedisServer(tmp_path / "redis")
    server.start()
    with redis.Redis(port=server.port) as client:
        client.config_set("requirepass", password)
    for folder in (tmp_path, *list(tmp_path.parents)[:2]):
        folder.chmod(0o755)  # the container's user is nobody here
    url = f"redis://:{password}@127.0.0.1:{server.port}/0"
    running = Suite(podman, tmp_path, url, database)
    yield running
    running.kill()
    server.kill()


@asked_for
@pytest.mark.timeout(900)
async def test_all_services_process_the_demo_pictures_on_a_read_only_root(suite: Suite) -> None:
    from bench.samples import write_samples

    pictures = write_samples(suite.folder / "in")
    for service in SERVICES:
        suite.start(service)
    for service in SERVICES:
        await suite.ready(service)
    sent = await asyncio.to_thread(suite.faces, "submit", "/pictures", "--wait")
    print("submit:", sent.stdout.strip().splitlines()[-1:], sent.stderr.strip().splitlines()[-1:])
    assert sent.returncode in (0, 3), sent.stderr
    told = await asyncio.to_thread(suite.faces, "results", "--format", "json")
    rows = json.loads(told.stdout)
    assert len(rows) == pictures
    assert {row["status"] for row in rows} == {"faces", "no_faces", "failed"}
    kept = {path.stem for path in (suite.folder / "data/objects").rglob("*.jpg")}
    assert kept >= {row["id"] for row in rows if row["status"] == "faces"}
    stats = await asyncio.to_thread(suite.faces, "stats", "--json")
    assert [stream["length"] for stream in json.loads(stats.stdout)["streams"]] == [0, 0, 0]
    for service in SERVICES:
        assert suite.stop(service) == 0, suite.log(service)
    lines = [json.loads(line) for line in suite.log("detector").splitlines() if line[:1] == "{"]
    assert any("draining" in line.get("event", "") for line in lines), "logs are JSON"
