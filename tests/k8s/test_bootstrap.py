"""The bootstrap Job makes the Secret where it is missing, and never changes one that is there."""

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
from tests.support.manifests import base, named

pytestmark = [pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(400)]

SECRET = "faces-secrets"
KEYS = ["redis-password", "postgres-password"]


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
        yield {**environment, "SECRET": SECRET, "KEYS": " ".join(KEYS)}


def password(cluster: FakeCluster, key: str) -> str:
    return base64.b64decode(cluster.secrets[SECRET]["data"][key]).decode()


def test_a_missing_secret_is_made_with_a_password_for_each_key(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(pod, mounted) == Exit.DONE
    made = [password(cluster, key) for key in KEYS]
    for value in made:
        assert re.fullmatch(r"[0-9a-f]{48}", value), "fit for a URL and for redis.conf"
    assert len(set(made)) == len(KEYS)
    said = capsys.readouterr()
    assert "made with random passwords" in said.out
    for hidden in (*made, TOKEN):
        assert hidden not in said.out + said.err


def test_the_manifest_asks_for_just_that(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path
) -> None:
    config = named(base(), "ConfigMap", "bootstrap")["data"]
    job = named(base(), "Job", "bootstrap")["spec"]["template"]["spec"]["containers"][0]
    assert job["command"] == ["python", "-m", "services.cli.cluster.bootstrap"]
    assert main({**pod, **config}, mounted) == Exit.DONE
    assert set(cluster.secrets[SECRET]["data"]) == set(KEYS)


def test_a_secret_that_is_there_is_left_as_it_is(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(pod, mounted) == Exit.DONE
    before = dict(cluster.secrets[SECRET]["data"])
    cluster.requests.clear()
    assert main(pod, mounted) == Exit.DONE
    assert cluster.secrets[SECRET]["data"] == before
    assert cluster.requests == [f"GET /api/v1/namespaces/faces/secrets/{SECRET}"]
    assert "kept" in capsys.readouterr().out


def test_one_made_by_somebody_else_meanwhile_is_kept(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path
) -> None:
    theirs = {"metadata": {"name": SECRET}, "data": dict.fromkeys(KEYS, "dGhlaXJz")}
    cluster.created_meanwhile = theirs
    assert main(pod, mounted) == Exit.DONE
    assert cluster.secrets[SECRET] is theirs


def test_of_many_at_once_one_makes_it_and_all_succeed(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path
) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda _: main(pod, mounted), range(8))) == {Exit.DONE}
    assert set(cluster.secrets[SECRET]["data"]) == set(KEYS)


def test_a_secret_without_one_of_the_keys_is_reported_not_mended(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cluster.secrets[SECRET] = {"data": {"redis-password": "eA=="}}
    assert main(pod, mounted) == Exit.USAGE
    error = capsys.readouterr().err
    assert "without postgres-password" in error and "kubectl edit secret" in error
    assert cluster.secrets[SECRET] == {"data": {"redis-password": "eA=="}}


def test_a_role_that_does_not_allow_it_is_named(
    cluster: FakeCluster, pod: dict[str, str], mounted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main({**pod, "SECRET": "another"}, mounted) == Exit.USAGE
    error = capsys.readouterr().err
    assert "403" in error and "k8s/bootstrap.yaml" in error
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
    assert main({"SECRET": SECRET, "KEYS": "a"}, tmp_path) == Exit.USAGE
    assert "not in a pod" in capsys.readouterr().err


def test_it_must_be_told_what_to_make(
    pod: dict[str, str], mounted: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main({**pod, "KEYS": " "}, mounted) == Exit.USAGE
    assert "SECRET and KEYS" in capsys.readouterr().err
