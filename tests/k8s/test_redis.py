"""Redis as the StatefulSet starts it: with a password that no process list shows."""

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.support.manifests import Doc, base, named
from tests.support.servers import absent, free_port
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(400)]

PASSWORD = "0123456789abcdef"


@pytest.fixture
def container() -> Doc:
    only: Doc = named(base(), "StatefulSet", "redis")["spec"]["template"]["spec"]["containers"][0]
    return only


@pytest.fixture
def server(tmp_path: Path, container: Doc) -> Iterator[tuple[subprocess.Popen[bytes], int]]:
    """The container's own command and configuration, with its folders below `tmp_path`."""
    if shutil.which("redis-server") is None:
        absent("redis-server")
    port = free_port()
    for folder in ("data", "etc/redis", "run/redis"):
        (tmp_path / folder).mkdir(parents=True)
    conf = named(base(), "ConfigMap", "redis-config")["data"]["redis.conf"]
    conf = conf.replace("dir /data", f"dir {tmp_path}/data")
    conf = conf.replace("include /run/redis", f"include {tmp_path}/run/redis")
    conf = conf.replace("port 6379", f"port {port}").replace("bind * -::*", "bind 127.0.0.1")
    (tmp_path / "etc/redis/redis.conf").write_text(conf)
    script = container["args"][0]
    for path in ("/run/redis", "/etc/redis"):
        assert path in script
        script = script.replace(path, f"{tmp_path}{path}")
    environment = {"PATH": os.environ["PATH"], "REDIS_PASSWORD": PASSWORD}
    command = [*container["command"], script]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL)
    yield process, port
    process.kill()
    process.wait()


async def test_it_asks_for_the_password_and_no_process_list_shows_it(
    server: tuple[subprocess.Popen[bytes], int], tmp_path: Path
) -> None:
    process, port = server
    with redis.Redis(port=port, password=PASSWORD) as known, redis.Redis(port=port) as stranger:

        def answers() -> bool:
            try:
                return bool(known.ping())
            except redis.ConnectionError:
                return False

        await wait_until(answers, "the server answers")
        with pytest.raises(redis.AuthenticationError):
            stranger.ping()
        assert known.config_get("appendonly") == {"appendonly": "yes"}
        assert known.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
    shown = Path(f"/proc/{process.pid}/cmdline").read_bytes()
    assert b"redis-server" in shown, "the shell was replaced, so signals reach the server"
    assert PASSWORD.encode() not in shown
    assert (tmp_path / "run/redis/password.conf").stat().st_mode & 0o077 == 0


def test_the_password_is_kept_in_memory_only(container: Doc) -> None:
    spec = named(base(), "StatefulSet", "redis")["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    written = re.findall(r"> (/\S+)/password\.conf", container["args"][0])
    assert [volumes[mounts[folder]]["emptyDir"]["medium"] for folder in written] == ["Memory"]


def test_probes_of_the_servers_need_no_password_as_argument(container: Doc) -> None:
    for probe in ("startupProbe", "readinessProbe"):
        command = container[probe]["exec"]["command"]
        assert not any("-a" in part.split() or "PASSWORD" in part for part in command)
    names = [entry["name"] for entry in container["env"]]
    assert names.index("REDIS_PASSWORD") < names.index("REDISCLI_AUTH")
