"""Redis as the StatefulSet starts it: with users, whose passwords nothing on it shows."""

from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.support.manifests import Doc, base, named
from tests.support.redis_as_deployed import FILES, USERS, DeployedRedis

pytestmark = [pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(400)]

OLD = "the one password of before"


@pytest.fixture
def container() -> Doc:
    only: Doc = named(base(), "StatefulSet", "redis")["spec"]["template"]["spec"]["containers"][0]
    return only


@pytest.fixture
def server(tmp_path: Path) -> Iterator[DeployedRedis]:
    deployed = DeployedRedis(tmp_path)
    yield deployed
    deployed.end()


def test_it_knows_its_users_by_digests_and_no_process_list_shows_a_password(
    server: DeployedRedis, tmp_path: Path
) -> None:
    server.start()
    for user in USERS:
        with server.client(user) as client:
            assert client.ping()
    with server.client("operator") as operator:
        assert operator.config_get("appendonly") == {"appendonly": "yes"}
        assert operator.config_get("maxmemory-policy") == {"maxmemory-policy": "noeviction"}
        assert set(operator.acl_users()) == {*USERS, "default"}
    assert server.process
    shown = Path(f"/proc/{server.process.pid}/cmdline").read_bytes()
    shown += Path(f"/proc/{server.process.pid}/environ").read_bytes()
    assert b"redis-server" in shown, "the shell was replaced, so signals reach the server"
    written = (tmp_path / "run/redis/users.conf").read_bytes()
    assert (tmp_path / "run/redis/users.conf").stat().st_mode & 0o077 == 0
    for password in server.passwords.values():
        assert password.encode() not in shown + written


def test_without_its_password_a_user_is_off_and_the_rest_works(server: DeployedRedis) -> None:
    server.passwords["metrics"] = ""
    server.start()
    with server.client("detector") as client:
        assert client.ping()
    for password in ("", "anything"):
        client = redis.Redis(port=server.port, username="metrics", password=password)
        with client, pytest.raises(redis.RedisError):
            client.ping()


def test_pods_of_before_go_on_until_their_one_password_is_taken_away(
    server: DeployedRedis,
) -> None:
    server.passwords["default"] = OLD
    server.start()
    with redis.Redis(port=server.port, password=OLD) as old:
        assert old.xadd("{faces}:images", {"m": "of an older ingest"})
        assert old.info("memory")
        for command in ("FLUSHALL", "KEYS *", "CONFIG GET dir", "GET of-others", "CLIENT LIST"):
            with pytest.raises(redis.exceptions.NoPermissionError):
                old.execute_command(*command.split())
    server.end()
    del server.passwords["default"]
    server.start()
    with redis.Redis(port=server.port, password=OLD) as old, pytest.raises(redis.RedisError):
        old.ping()
    with server.client("admin") as admin:
        assert admin.xlen("{faces}:images") == 1, "what they added is there"


def test_the_container_starts_it_so_and_reads_the_passwords_as_files(container: Doc) -> None:
    assert container["command"] == ["/bin/sh", "/etc/redis/start.sh"]
    config = named(base(), "ConfigMap", "redis-config")["data"]
    assert config == {
        name: (FILES / name).read_text() for name in ("redis.conf", "start.sh", "users.acl")
    }
    spec = named(base(), "StatefulSet", "redis")["spec"]["template"]["spec"]
    mounts = {mount["mountPath"]: mount["name"] for mount in container["volumeMounts"]}
    volumes = {volume["name"]: volume for volume in spec["volumes"]}
    assert volumes[mounts["/run/redis"]]["emptyDir"]["medium"] == "Memory"
    needed, old = volumes[mounts["/etc/redis-passwords"]]["projected"]["sources"]
    assert {item["path"]: item["key"] for item in needed["secret"]["items"]} == {
        user: f"redis-password-{user}" for user in USERS
    }
    assert not needed["secret"].get("optional")
    assert old["secret"]["optional"] is True
    assert old["secret"]["items"] == [{"key": "redis-password", "path": "default"}]


def test_probes_of_the_servers_need_no_password_as_argument(container: Doc) -> None:
    for probe in ("startupProbe", "readinessProbe"):
        command = container[probe]["exec"]["command"]
        assert not any("-a" in part.split() or "PASSWORD" in part for part in command)
        assert any("redis-cli --user operator ping" in part for part in command)
    assert [entry["name"] for entry in container["env"]] == ["REDISCLI_AUTH"]
