"""The bootstrap Job makes what the Secret lacks, and never changes a value that is there."""

import base64
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import trustme

from services.cli.cluster.bootstrap import main
from shared.errors import Exit
from tests.support.fake_cluster import TOKEN, FakeCluster, running
from tests.support.manifests import base, named, renderings

pytestmark = [pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(400)]

SECRET = "faces-secrets"
PASSWORDS = ["redis-password", "postgres-password"]
URLS = ["redis-url", "database-url"]
USERS = ("ingest", "detector", "writer", "submit", "admin", "metrics", "operator")
COPIES = [f"redis-url-{user}" for user in USERS[:5]]
OF_REDIS = [*(f"redis-password-{user}" for user in USERS), *COPIES, "redis-username-metrics"]
KEYS = {
    "REDIS_KEYS": "redis-password redis-url=redis://:$(redis-password)@redis:6379/0",
    "POSTGRES_KEYS": "postgres-password database-url=postgresql://faces:$(postgres-password)@pg/db",
}


@pytest.fixture
def cluster() -> FakeCluster:
    return FakeCluster(allowed=SECRET)


@pytest.fixture
def mounted(tmp_path: Path) -> Path:
    return tmp_path / "serviceaccount"


@pytest.fixture
def pod(cluster: FakeCluster, mounted: Path) -> Iterator[dict[str, str]]:
    """The environment of the bootstrap pod."""
    with running(cluster, mounted) as environment:
        yield {**environment, "SECRET": SECRET, **KEYS}


def value(cluster: FakeCluster, key: str) -> str:
    return base64.b64decode(cluster.secrets[SECRET]["data"][key]).decode()


def encoded(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


def test_a_missing_secret_is_made_with_random_passwords_and_the_urls_that_hold_them(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(pod, mounted) == Exit.DONE
    redis, postgres = made = [value(cluster, key) for key in PASSWORDS]
    for password in made:
        assert re.fullmatch(r"[0-9a-f]{48}", password), "fit for a URL and for redis.conf"
    assert redis != postgres
    assert value(cluster, "redis-url") == f"redis://:{redis}@redis:6379/0"
    assert value(cluster, "database-url") == f"postgresql://faces:{postgres}@pg/db"
    said = capsys.readouterr()
    assert "made redis-password" in said.out
    for hidden in (*made, TOKEN):
        assert hidden not in said.out + said.err


def test_the_manifest_asks_for_just_that(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path
) -> None:
    config = named(base(), "ConfigMap", "bootstrap")["data"]
    job = named(base(), "Job", "bootstrap")["spec"]["template"]["spec"]["containers"][0]
    assert job["command"] == ["python", "-m", "services.cli.cluster.bootstrap"]
    assert main({**pod, **config}, mounted) == Exit.DONE
    assert set(cluster.secrets[SECRET]["data"]) == {*OF_REDIS, "postgres-password", "database-url"}
    for user in ("ingest", "detector", "writer", "submit", "admin"):
        password = value(cluster, f"redis-password-{user}")
        assert value(cluster, f"redis-url-{user}") == f"redis://{user}:{password}@redis:6379/0"
    passwords = {value(cluster, f"redis-password-{user}") for user in USERS}
    assert len(passwords) == len(USERS), "each has its own"
    assert value(cluster, "redis-username-metrics") == "metrics"


@pytest.mark.parametrize(
    ("components", "made"),
    [
        (("external-redis",), {*COPIES, "redis-url", "postgres-password", "database-url"}),
        (("external-postgres",), {*OF_REDIS, "redis-url"}),
        (("external-redis", "external-postgres"), {*COPIES, "redis-url"}),
    ],
)
def test_of_a_server_of_ones_own_only_copies_of_its_url_are_made(
    components: tuple[str, ...],
    made: set[str],
    cluster: FakeCluster,
    pod: dict[str, str],
    mounted: Path,
) -> None:
    own = "rediss://faces:a%2Fb@redis.example:6380/0?ssl_ca_certs=/ca.pem"
    cluster.put(SECRET, {"metadata": {"name": SECRET}, "data": {"redis-url": encoded(own)}})
    config = named(renderings()[components], "ConfigMap", "bootstrap")["data"]
    assert main({**pod, **config}, mounted) == Exit.DONE
    assert set(cluster.secrets[SECRET]["data"]) == made
    if "external-redis" in components:
        assert {value(cluster, key) for key in COPIES} == {own}


def test_what_people_have_to_give_is_asked_for_and_all_else_is_made(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = {**pod, "REDIS_KEYS": "redis-url? redis-url-ingest=$(redis-url)"}
    assert main(given, mounted) == Exit.USAGE, "so that the Job tries again"
    assert "lacks redis-url, which is yours to give" in capsys.readouterr().err
    assert set(cluster.secrets[SECRET]["data"]) == {"postgres-password", "database-url"}


def test_urls_that_were_given_for_each_service_are_enough(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path
) -> None:
    given = {key: encoded(f"redis://{key}") for key in COPIES}
    cluster.put(SECRET, {"metadata": {"name": SECRET}, "data": dict(given)})
    config = named(renderings()["external-redis",], "ConfigMap", "bootstrap")["data"]
    assert main({**pod, **config}, mounted) == Exit.DONE
    assert given.items() <= cluster.secrets[SECRET]["data"].items()


def test_a_secret_of_before_gets_a_user_a_service_and_keeps_the_old_way_in(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path
) -> None:
    old = ("redis-password", "redis-url", "postgres-password", "database-url")
    before = {key: encoded(f"old {key}") for key in old}
    cluster.put(SECRET, {"metadata": {"name": SECRET}, "data": dict(before)})
    config = named(base(), "ConfigMap", "bootstrap")["data"]
    assert main({**pod, **config}, mounted) == Exit.DONE
    after = cluster.secrets[SECRET]["data"]
    assert before.items() <= after.items(), "pods of before go on with what they have"
    assert set(after) == {*before, *OF_REDIS}


def test_a_secret_that_is_there_is_left_as_it_is(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(pod, mounted) == Exit.DONE
    before = dict(cluster.secrets[SECRET]["data"])
    cluster.requests.clear()
    assert main(pod, mounted) == Exit.DONE
    assert cluster.secrets[SECRET]["data"] == before
    assert cluster.requests == [f"GET /api/v1/namespaces/faces/secrets/{SECRET}"]
    assert "nothing is missing" in capsys.readouterr().out


def test_one_made_by_somebody_else_meanwhile_is_kept(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path
) -> None:
    theirs = dict.fromkeys((*PASSWORDS, *URLS), encoded("theirs"))
    cluster.created_meanwhile = {"metadata": {"name": SECRET}, "data": theirs}
    assert main(pod, mounted) == Exit.DONE
    assert cluster.secrets[SECRET]["data"] == theirs


def test_of_many_at_once_one_makes_it_and_all_succeed(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path
) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: main(pod, mounted), range(8))) == {Exit.DONE}
    assert set(cluster.secrets[SECRET]["data"]) == {*PASSWORDS, *URLS}
    assert value(cluster, "redis-password") in value(cluster, "redis-url")
    assert len(set(cluster.appliers)) == len(cluster.appliers), "none may overwrite another's"


def test_what_an_older_secret_lacks_is_added_and_the_rest_stays(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    older = {"redis-password": encoded("of old"), "postgres-password": encoded("p%:/")}
    cluster.put(SECRET, {"metadata": {"name": SECRET}, "data": {**older, "own": encoded("kept")}})
    assert main(pod, mounted) == Exit.DONE
    assert value(cluster, "redis-url") == "redis://:of%20old@redis:6379/0"
    assert value(cluster, "database-url") == "postgresql://faces:p%25%3A%2F@pg/db"
    assert older.items() <= cluster.secrets[SECRET]["data"].items()
    assert value(cluster, "own") == "kept"
    assert capsys.readouterr().out == f"Secret {SECRET}: made redis-url, database-url\n"


def test_one_with_the_url_of_a_redis_of_ones_own_gets_what_the_bundled_server_needs(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path
) -> None:
    own = encoded("rediss://:secret@redis.example:6380/0")
    cluster.put(SECRET, {"metadata": {"name": SECRET}, "data": {"redis-url": own}})
    assert main({**pod, "REDIS_KEYS": ""}, mounted) == Exit.DONE
    assert set(cluster.secrets[SECRET]["data"]) == {
        "redis-url",
        "postgres-password",
        "database-url",
    }
    assert cluster.secrets[SECRET]["data"]["redis-url"] == own


def test_what_somebody_sets_meanwhile_is_not_overwritten(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path
) -> None:
    cluster.put(SECRET, {"metadata": {"name": SECRET}, "data": {}})
    cluster.edited_meanwhile = {"redis-password": encoded("theirs")}
    assert main(pod, mounted) == Exit.DONE
    assert value(cluster, "redis-password") == "theirs"
    assert value(cluster, "redis-url") == "redis://:theirs@redis:6379/0"


def test_a_role_that_does_not_allow_it_is_named(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main({**pod, "SECRET": "another"}, mounted) == Exit.USAGE
    error = capsys.readouterr().err
    assert "403" in error and "k8s/base/bootstrap.yaml" in error
    assert cluster.secrets == {}


def test_a_wrong_token_is_refused(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (mounted / "token").write_text("somebody else's")
    assert main(pod, mounted) == Exit.USAGE
    assert "401" in capsys.readouterr().err
    assert cluster.secrets == {}


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_server_that_is_not_well_is_tried_again_by_the_job(
    status: int, cluster: FakeCluster, pod: dict[str, str], mounted: Path
) -> None:
    cluster.fail_next = [status]
    assert main(pod, mounted) == Exit.UNREACHABLE
    assert main(pod, mounted) == Exit.DONE


def test_a_server_with_another_certificate_is_not_told_the_token(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trustme.CA().cert_pem.write_to_path(str(mounted / "ca.crt"))
    assert main(pod, mounted) == Exit.UNREACHABLE
    assert "certificate" in capsys.readouterr().err.lower()
    assert cluster.requests == []


def test_no_server_is_one_clear_line(
    pod: dict[str, str], mounted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main({**pod, "KUBERNETES_SERVICE_PORT": "1"}, mounted) == Exit.UNREACHABLE
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "127.0.0.1:1" in error


def test_outside_of_a_cluster_it_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main({"SECRET": SECRET, "A_KEYS": "a"}, tmp_path) == Exit.USAGE
    assert "not in a pod" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"SECRET": ""}, "SECRET"),
        ({"REDIS_KEYS": None, "POSTGRES_KEYS": None}, "_KEYS"),
        ({"REDIS_KEYS": "redis-url=redis://:$(redis-pasword)@redis"}, "redis-pasword"),
    ],
)
def test_it_must_be_told_what_to_make(
    given: dict[str, str | None],
    said: str,
    pod: dict[str, str],
    mounted: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    environment = {name: text for name, text in {**pod, **given}.items() if text is not None}
    assert main(environment, mounted) == Exit.USAGE
    error = capsys.readouterr().err
    assert said in error and error.count("\n") == 1
