"""Settings, probes, draining, resources: the manifests agree with the code and with themselves."""

import asyncio
from urllib.error import HTTPError, URLError
from urllib.request import urlopen

import pytest

from shared.health import Health
from shared.http_port import serve_health
from shared.settings import PicturesBy, Settings
from shared.streams.client import BLOCK_MS
from tests.support.manifests import (
    ROOT,
    as_the_program_reads,
    base,
    containers,
    environment,
    every_object,
    jobs,
    label_of,
    named,
    of_kind,
    pods,
    renderings,
    settings_of,
)
from tests.support.project import VERSION
from tests.support.waiting import wait_until

pytestmark = [pytest.mark.xdist_group("kubernetes"), pytest.mark.timeout(400)]

SERVICES = ("ingest", "detector", "writer")


@pytest.mark.parametrize("components", [(), ("bucket",), ("source-bucket",), ("source-volume",)])
def test_every_key_of_the_configmap_is_a_setting_and_its_value_is_accepted(
    components: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    data = settings_of(renderings()[components])
    known = {f"FACES_{name.upper()}" for name in Settings.model_fields}
    assert set(data) <= known
    as_the_program_reads(data, monkeypatch)


def test_every_variable_of_a_container_is_a_setting_or_used_in_one() -> None:
    known = {f"FACES_{name.upper()}" for name in Settings.model_fields}
    for workload, template in pods(every_object()):
        for container in containers(template):
            if container["name"] not in {"faces", "commands"}:
                continue
            text = " ".join(str(entry.get("value")) for entry in environment(container).values())
            for name in environment(container):
                assert name in known or f"$({name})" in text, f"{label_of(workload)}: {name}"


def test_each_service_is_chosen_by_its_argument() -> None:
    for name in SERVICES:
        container = named(base(), "Deployment", name)["spec"]["template"]["spec"]["containers"][0]
        assert container["args"] == [name]
        assert "command" not in container, "the image's entrypoint is the program"


async def test_probes_ask_by_http_for_paths_that_the_program_serves() -> None:
    wanted = {"startupProbe": "/livez", "livenessProbe": "/livez", "readinessProbe": "/readyz"}
    health = Health()
    health.ready("start")
    async with serve_health(health, "127.0.0.1", 0) as port:
        answers = {}

        async def all_answered() -> bool:
            for path in (*wanted.values(), "/other"):
                url = f"http://127.0.0.1:{port}{path}"
                answers[path] = await asyncio.to_thread(_status, url)
            return None not in answers.values()

        await wait_until(all_answered, "the health port answers")
    assert answers == {"/livez": 200, "/readyz": 200, "/other": 404}
    for name in SERVICES:
        container = named(base(), "Deployment", name)["spec"]["template"]["spec"]["containers"][0]
        for probe, path in wanted.items():
            assert container[probe]["httpGet"] == {"path": path, "port": "http"}


def _status(url: str) -> int | None:
    try:
        with urlopen(url, timeout=10) as answer:
            return int(answer.status)
    except HTTPError as error:
        with error:
            return error.code
    except URLError:
        return None


def test_the_named_port_is_the_one_that_the_program_opens() -> None:
    settings = settings_of(base())
    for name in SERVICES:
        container = named(base(), "Deployment", name)["spec"]["template"]["spec"]["containers"][0]
        ports = {port["name"]: port["containerPort"] for port in container["ports"]}
        assert ports == {"http": int(settings["FACES_HTTP_PORT"])}
    assert settings["FACES_HTTP_HOST"] == "0.0.0.0"


def test_grace_period_exceeds_drain_limit_exceeds_longest_task(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    settings = as_the_program_reads(settings_of(base()), monkeypatch)
    blocked_read = BLOCK_MS / 1000
    for name in SERVICES:
        spec = named(base(), "Deployment", name)["spec"]["template"]["spec"]
        grace = spec["terminationGracePeriodSeconds"]
        assert grace >= settings.drain_seconds + blocked_read + 10, name
        assert settings.drain_seconds >= settings.task_timeout_seconds + 10, name


def test_figures_in_comments_are_those_in_force(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = as_the_program_reads(settings_of(base()), monkeypatch)
    detector = (ROOT / "k8s" / "base" / "detector.yaml").read_text()
    assert f"FACES_TASK_TIMEOUT_SECONDS ({settings.task_timeout_seconds:g})" in detector
    assert f"({settings.drain_seconds:g})" in detector
    chain = f"{settings.task_timeout_seconds:g} < {settings.drain_seconds:g} < 90"
    assert chain in (ROOT / "k8s" / "settings" / "settings.env").read_text()
    slots = settings.slot_memory_bytes / 2**30
    assert f"0.5 + 1 x {slots:g} GiB" in detector


def test_a_rollout_waits_for_pods_that_stay_ready_and_says_when_it_does_not_end() -> None:
    for kind in ("Deployment", "StatefulSet"):
        for workload in of_kind(every_object(), kind):
            spec = workload["spec"]
            assert spec["minReadySeconds"] >= 10, label_of(workload)
            assert 2 <= spec["revisionHistoryLimit"] <= 5, label_of(workload)
            if kind == "Deployment":
                probe = spec["template"]["spec"]["containers"][0]["startupProbe"]
                longest_start = probe["periodSeconds"] * probe["failureThreshold"]
                grace = spec["template"]["spec"]["terminationGracePeriodSeconds"]
                assert spec["progressDeadlineSeconds"] > longest_start + grace, label_of(workload)


def test_pictures_are_written_by_who_reaches_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    for chosen, documents in renderings().items():
        data = settings_of(documents)
        writer = named(documents, "Deployment", "writer")["spec"]["template"]["spec"]
        claims = {
            volume["persistentVolumeClaim"]["claimName"]
            for volume in writer["volumes"]
            if "persistentVolumeClaim" in volume
        }
        mounts = {mount["mountPath"] for mount in writer["containers"][0]["volumeMounts"]}
        have = {claim["metadata"]["name"] for claim in of_kind(documents, "PersistentVolumeClaim")}
        claims.discard("pictures")
        have.discard("backups")
        if "bucket" in chosen:
            assert data["FACES_PICTURES_BY"] == PicturesBy.DETECTOR
            assert not data["FACES_OBJECTS_URL"].startswith("file:")
            assert claims == have == set()
            assert "affinity" not in writer
        else:
            assert data["FACES_PICTURES_BY"] == PicturesBy.WRITER
            assert data["FACES_OBJECTS_URL"].removeprefix("file://") in mounts
            assert claims == have == {"objects"}


def test_only_the_writer_mounts_the_volume_and_a_second_one_lands_beside_it() -> None:
    for workload, template in pods(base()):
        mounted = [v for v in template["spec"]["volumes"] if "persistentVolumeClaim" in v]
        assert bool(mounted) == (workload["metadata"]["name"] == "writer")
    claim = named(base(), "PersistentVolumeClaim", "objects")
    assert claim["spec"]["accessModes"] == ["ReadWriteOnce"]
    writer = named(base(), "Deployment", "writer")["spec"]
    affinity = writer["template"]["spec"]["affinity"]["podAffinity"]
    [term] = affinity["requiredDuringSchedulingIgnoredDuringExecution"]
    assert term["topologyKey"] == "kubernetes.io/hostname"
    labels = term["labelSelector"]["matchLabels"].items()
    assert labels <= writer["template"]["metadata"]["labels"].items()


def test_the_versions_agree() -> None:
    for documents in (base(), *jobs().values()):
        for document in documents:
            assert document["metadata"]["labels"]["app.kubernetes.io/version"] == VERSION
        for _, template in pods(documents):
            for container in template["spec"]["containers"]:
                if container["name"] in {"faces", "commands"}:
                    assert container["image"].endswith(f":{VERSION}")
